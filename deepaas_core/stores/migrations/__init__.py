"""The database's tables, version by version, applied when it is opened.

A new SQLite file gets the tables of the newest version at once, from the statements that the steps come to; they are
written down beside the steps by ``python -m deepaas_core.stores.migrations``, after each change of a step.
"""

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

    @property
    def statements(self) -> Path:
        """The file of the statements that make the newest version in SQLite, divided by empty lines."""
        return Path(__file__).parent / f"{self.folder}.sql"


RECORDS = Chain("versions", HEAD, "alembic_version")
#: The prediction log, which may lie in a file of its own.
PREDICTIONS = Chain("predictions", "0001", "predictions_version")


def make(connection: Connection, chain: Chain) -> None:
    """Make the tables of the newest version in an empty SQLite database, inside the connection's transaction."""
    for statement in chain.statements.read_text().split("\n\n"):
        connection.exec_driver_sql(statement)


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
