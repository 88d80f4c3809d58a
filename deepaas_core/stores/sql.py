"""Records in a database: SQLite in the data folder, or any database SQLAlchemy has an asynchronous driver for.

A record that was written is on disk before the call returns (write-ahead log, synced at each commit). Every change is
one statement in a transaction of its own, so nothing is ever half-written and no lock outlives a call.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from deepaas_core.domain.training import Process, Run, RunError, RunState
from deepaas_core.errors import Conflict, RunNotFound, StoreDamaged, StoreUnavailable, StoreUnusable
from deepaas_core.stores import migrations
from deepaas_core.stores.base import LONG_RESULT_CHARS

FILE_NAME = "deepaas_core.db"
BUSY_TIMEOUT_S = 5


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


metadata = sa.MetaData()

#: ``number`` gives the order in which runs were added; JSON is kept as ASCII text, which every database takes.
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("result", sa.Text),
    sa.Column("error_kind", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("error_traceback", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("pid_started", sa.Text),
    sa.Index("runs_by_state", "state", "number"),
    sa.Index("runs_by_model", "model", "number"),
    sqlite_autoincrement=True,
)

_IN_LISTS = [
    column for column in runs.columns if column is not runs.c.result and column is not runs.c.error_traceback
] + [
    sa.case((sa.func.length(runs.c.result) <= LONG_RESULT_CHARS, runs.c.result)).label("result"),
    sa.literal("").label("error_traceback"),
]


class SqlRunStore:
    """Keeps training runs in a database. Made by ``open``."""

    def __init__(self, engine: AsyncEngine):
        self._engine = engine

    @classmethod
    async def open(cls, url: str, folder: Path) -> SqlRunStore:
        """Open the database, making or upgrading its tables first if that is due.

        Args:
            url: An SQLAlchemy URL with an asynchronous driver; empty for an SQLite database in the folder.
            folder: The data folder.

        Raises:
            StoreDamaged: The database is damaged; nothing was changed.
            StoreUnusable: It was written by a newer version, or is not a database of ours.
            StoreUnavailable: It cannot be reached.
        """
        shown = _shown(url) if url else str(folder / FILE_NAME)
        if url:
            engine = create_async_engine(url, pool_pre_ping=True)
        else:
            await asyncio.to_thread(_make_file, folder / FILE_NAME)
            engine = _sqlite_engine(folder / FILE_NAME)
        try:
            async with engine.begin() as connection:
                await _check(connection, shown)
                await _upgrade(connection, shown)
        except (SQLAlchemyError, OSError) as error:
            await engine.dispose()
            raise _unusable(error, shown) from error
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine)

    async def add(self, run: Run) -> None:
        async with self._transaction() as connection:
            try:
                await connection.execute(runs.insert().values(id=run.id, **_columns(run)))
            except IntegrityError:
                raise Conflict(f"There is a training run {run.id} already.") from None

    async def get(self, run_id: str) -> Run:
        async with self._transaction() as connection:
            row = (await connection.execute(runs.select().where(runs.c.id == run_id))).one_or_none()
        if row is None:
            raise RunNotFound(run_id)
        return _run(row)

    async def list(
        self,
        *,
        model: str | None = None,
        states: Collection[RunState] = (),
        limit: int | None = None,
        before: str | None = None,
    ) -> Sequence[Run]:
        query = sa.select(*_IN_LISTS).order_by(runs.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(runs.c.model == model)
        if states:
            query = query.where(runs.c.state.in_([str(state) for state in states]))
        if before is not None:
            query = query.where(runs.c.number < sa.select(runs.c.number).where(runs.c.id == before).scalar_subquery())
        return await self._rows(query)

    async def queue(self, limit: int) -> Sequence[Run]:
        return await self._rows(
            sa.select(*_IN_LISTS).where(runs.c.state == str(RunState.QUEUED)).order_by(runs.c.number).limit(limit)
        )

    async def count(self) -> Mapping[RunState, int]:
        query = sa.select(runs.c.state, sa.func.count()).group_by(runs.c.state)
        async with self._transaction() as connection:
            return {RunState(state): number for state, number in await connection.execute(query)}

    async def replace(self, old: Run, new: Run) -> bool:
        unchanged = [runs.c.id == old.id, runs.c.state == str(old.state)]
        if old.process is None:
            unchanged.append(runs.c.pid.is_(None))
        else:
            unchanged += [runs.c.pid == old.process.pid, runs.c.pid_started == old.process.started]
        async with self._transaction() as connection:
            done = await connection.execute(runs.update().where(*unchanged).values(**_columns(new)))
        return done.rowcount == 1

    async def close(self) -> None:
        await self._engine.dispose()

    async def _rows(self, query: sa.Select[Any]) -> Sequence[Run]:
        async with self._transaction() as connection:
            return [_run(row) for row in await connection.execute(query)]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise StoreUnavailable(f"The database of training runs cannot be used: {_reason(error)}") from error


def _make_file(path: Path) -> None:
    """The database is its owner's alone; SQLite gives the files beside it the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"The database {path} cannot be opened: {error.strerror}") from error


def _sqlite_engine(path: Path) -> AsyncEngine:
    url = sa.URL.create("sqlite+aiosqlite", database=str(path))
    engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

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


async def _upgrade(connection: AsyncConnection, shown: str) -> None:
    version = await connection.run_sync(_version)
    if version == migrations.HEAD:
        return
    from alembic.util import CommandError  # slow to import, and seldom needed

    try:
        await connection.run_sync(migrations.upgrade)
    except CommandError as error:
        raise StoreUnusable(
            f"The database {shown} has version {version!r}, which this program does not know. {error}"
        ) from error


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


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


def _columns(run: Run) -> dict[str, Any]:
    """A run as column values, but for its id, which never changes."""
    error, process = run.error, run.process
    return {
        "model": run.model,
        "version": run.version,
        "state": str(run.state),
        "arguments": json.dumps(run.arguments, allow_nan=False),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "result": None if run.result is None else json.dumps(run.result, allow_nan=False),
        "error_kind": error and error.kind,
        "error_message": error and error.message,
        "error_traceback": error and error.traceback,
        "pid": process and process.pid,
        "pid_started": process and process.started,
    }


def _run(row: sa.Row[Any]) -> Run:
    return Run(
        id=row.id,
        model=row.model,
        version=row.version,
        arguments=json.loads(row.arguments),
        created_at=row.created_at,
        state=RunState(row.state),
        started_at=row.started_at,
        finished_at=row.finished_at,
        result=None if row.result is None else json.loads(row.result),
        error=None if row.error_kind is None else RunError(row.error_kind, row.error_message, row.error_traceback),
        process=None if row.pid is None else Process(row.pid, row.pid_started),
    )
