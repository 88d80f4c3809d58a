"""The database's tables, version by version, applied when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

#: The newest version, written here too so that a start that needs no upgrade need not load Alembic.
HEAD = "0006"


@dataclass(frozen=True)
class Chain:
    """Tables that are upgraded together.

    Attributes:
        folder: Of the steps, below this one.
        head: The newest version.
        version_table: Where a database says which version it has.
    """

    folder: str
    head: str
    version_table: str


RECORDS = Chain("versions", HEAD, "alembic_version")
#: The prediction log, which may lie in a file of its own.
PREDICTIONS = Chain("predictions", "0001", "predictions_version")


def upgrade(connection: Connection, chain: Chain) -> None:
    """Bring the tables to the newest version, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config, here = Config(), Path(__file__).parent
    config.set_main_option("path_separator", "newline")
    for option, path in (("script_location", here), ("version_locations", here / chain.folder)):
        config.set_main_option(option, str(path).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = chain.version_table
    command.upgrade(config, "head")
