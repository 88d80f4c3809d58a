"""The database's tables, version by version, applied when it is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

#: The newest version, written here too so that a start that needs no upgrade need not load Alembic.
HEAD = "0005"


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest version, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
