"""The database of all records: SQLite in the data folder, or PostgreSQL for several servers on one database.

A record that was written is on disk before the call returns (write-ahead log, synced at each commit). No lock outlives
a call. Each kind of record has a module and a store of its own over the one database; its tables join ``metadata``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from deepaas_core.errors import SettingsError, StoreDamaged, StoreUnavailable, StoreUnusable
from deepaas_core.sqlite import Connections
from deepaas_core.stores import migrations

FILE_NAME = "deepaas_core.db"
#: The prediction log, which grows large and is written all the time: no other record waits for it, or is lost with it.
PREDICTIONS_FILE = "predictions.db"
BUSY_TIMEOUT_S = 5
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 5, 15
_UPGRADE_LOCK = 0x64656570

#: The tables of all records.
metadata = sa.MetaData()


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC time, also where the database knows none."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _unreachable() -> tuple[type[Exception], ...]:
    """What says that a database cannot be used right now.

    asyncpg tells of a server that starts or stops in its own way; it is not loaded where nobody uses it.
    """
    driver = sys.modules.get("asyncpg")
    return (SQLAlchemyError, OSError) if driver is None else (SQLAlchemyError, OSError, driver.PostgresError)


class Database:
    """What the stores of the records share. Made by ``open``."""

    def __init__(self, engine: AsyncEngine, connections: Connections):
        self._engine, self._connections = engine, connections

    @classmethod
    async def open(cls, url: str, folder: Path, chain: migrations.Chain = migrations.RECORDS) -> Database:
        """Open the database, making or upgrading its tables first if that is due.

        Args:
            url: An SQLAlchemy URL with an asynchronous driver; empty for an SQLite database in the folder.
            folder: The data folder.
            chain: Which tables it is to have.

        Raises:
            StoreDamaged: The database is damaged; nothing was changed.
            StoreUnusable: It was written by a newer version, or is not a database of ours.
            StoreUnavailable: It cannot be reached.
        """
        connections = Connections()
        if url:
            engine = _server_engine(url)
            shown = _shown(url)
        else:
            path = folder / (FILE_NAME if chain is migrations.RECORDS else PREDICTIONS_FILE)
            await asyncio.to_thread(_make_file, path)
            engine = _sqlite_engine(path, connections)
            shown = str(path)
        database = cls(engine, connections)
        try:
            async with engine.begin() as connection:
                if chain is migrations.RECORDS:  # the log is too large to be looked through at each start
                    await _check(connection, shown)
                await _upgrade(connection, shown, chain)
        except _unreachable() as error:
            await database.close()
            raise _unusable(error, shown) from error
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Let go of all connections."""
        await self._engine.dispose()
        await self._connections.end()

    @property
    def now(self) -> sa.ColumnElement[Any]:
        """The time by the database's own clock, inside a statement."""
        if self._engine.dialect.name == "sqlite":  # whole seconds otherwise
            return sa.func.strftime("%Y-%m-%d %H:%M:%f000", "now")
        return sa.func.current_timestamp()

    def floor(self, number: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The whole part of a number that is not negative, inside a statement."""
        whole = number if self._engine.dialect.name == "sqlite" else sa.func.floor(number)  # SQLite may not have it
        return sa.cast(whole, sa.BigInteger)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction of its own, on disk when it is left.

        Raises:
            StoreUnavailable: The database cannot be used right now; nothing was stored.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except _unreachable() as error:
            # Who calls need not know where the database server is.
            reason = "its server cannot be reached" if isinstance(error, OSError) else _reason(error)
            raise StoreUnavailable(f"The database cannot be used: {reason}.") from error

    async def put(self, table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Insert a row, or change the one of this key, in a transaction of its own."""
        async with self.transaction() as connection:
            await connection.execute(self.upsert(table, key, values))

    def upsert(self, table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> sa.Insert:
        """The statement that inserts a row, or changes the one of this key."""
        done: sa.Insert = (
            self._into(table).values(**key, **values).on_conflict_do_update(index_elements=list(key), set_=dict(values))
        )
        return done

    def insert_new(self, table: sa.Table) -> sa.Insert:
        """The statement that inserts rows, and passes over those that are there already."""
        done: sa.Insert = self._into(table).on_conflict_do_nothing()
        return done

    def _into(self, table: sa.Table) -> Any:
        if self._engine.dialect.name == "sqlite":
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql  # 30 ms that no other start should wait for

        return postgresql.insert(table)


def _make_file(path: Path) -> None:
    """The database is its owner's alone; SQLite gives the files beside it the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"The database {path} cannot be opened: {error.strerror}") from error


def _server_engine(url: str) -> AsyncEngine:
    """An engine for a database server, which may be away at any moment and must not be waited for without end."""
    try:
        driver = sa.make_url(url).get_driver_name()
        options = {"timeout": CONNECT_TIMEOUT_S, "command_timeout": ANSWER_TIMEOUT_S} if driver == "asyncpg" else {}
        return create_async_engine(url, pool_pre_ping=True, pool_timeout=CONNECT_TIMEOUT_S, connect_args=options)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"store.url needs the driver {error.name!r}: pip install 'deepaas-core[postgresql]'."
        ) from error
    except (ArgumentError, InvalidRequestError) as error:
        raise SettingsError("store.url is not a database URL like postgresql+asyncpg://user@host/name.") from error


def _sqlite_engine(path: Path, connections: Connections) -> AsyncEngine:
    url = sa.URL.create("sqlite+aiosqlite", database=str(path))
    engine = create_async_engine(url, connect_args={**connections.connect_args, "timeout": BUSY_TIMEOUT_S})

    @sa.event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver would leave statements that make tables out of transactions
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


async def _check(connection: AsyncConnection, shown: str) -> None:
    if connection.dialect.name != "sqlite":
        return
    verdict = (await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar_one()
    if verdict != "ok":
        raise _damaged(shown, verdict)


async def _upgrade(connection: AsyncConnection, shown: str, chain: migrations.Chain) -> None:
    version = await connection.run_sync(_version, chain)
    if version == chain.head:
        return
    if connection.dialect.name == "sqlite" and not await connection.run_sync(_tables):
        await connection.run_sync(migrations.make, chain)
        return
    if connection.dialect.name == "postgresql":  # several servers may come at the same moment; the first one does it
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
        if await connection.run_sync(_version, chain) == chain.head:
            return
    from alembic.util import CommandError  # slow to import, and seldom needed

    try:
        await connection.run_sync(migrations.upgrade, chain)
    except CommandError as error:
        raise StoreUnusable(
            f"The database {shown} has version {version!r}, which this program does not know. {error}"
        ) from error


def _tables(connection: sa.Connection) -> list[str]:
    return sa.inspect(connection).get_table_names()


def _version(connection: sa.Connection, chain: migrations.Chain) -> str | None:
    if not sa.inspect(connection).has_table(chain.version_table):
        return None
    version: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(sa.table(chain.version_table))
    return connection.execute(version).scalar_one_or_none()


def _unusable(error: Exception, shown: str) -> Exception:
    text = _reason(error)
    if "malformed" in text or "not a database" in text:
        return _damaged(shown, text)
    if "already exists" in text:
        return StoreUnusable(f"The database {shown} holds somebody else's tables: {text}.")
    return StoreUnavailable(f"The database {shown} cannot be opened: {text}.")


def _damaged(shown: str, what: str) -> StoreDamaged:
    return StoreDamaged(f"The database {shown} is damaged: {what}. Nothing was changed; restore it from a backup.")


def _shown(url: str) -> str:
    return sa.make_url(url).render_as_string(hide_password=True)


def _reason(error: Exception) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error)
