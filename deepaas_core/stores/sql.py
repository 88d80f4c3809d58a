"""Records in a database: SQLite in the data folder, or PostgreSQL for several servers on one database.

A record that was written is on disk before the call returns (write-ahead log, synced at each commit). Every change is
one statement in a transaction of its own, so nothing is ever half-written and no lock outlives a call.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InvalidRequestError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from deepaas_core.domain.reports import Condition, Progress, Said
from deepaas_core.domain.training import Choice, Place, Process, Run, RunError, RunState
from deepaas_core.errors import Conflict, RunNotFound, SettingsError, StoreDamaged, StoreUnavailable, StoreUnusable
from deepaas_core.stores import migrations
from deepaas_core.stores.base import LONG_RESULT_CHARS, Peer

FILE_NAME = "deepaas_core.db"
BUSY_TIMEOUT_S = 5
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 5, 15
MAX_POSITIONS = 5000
_UPGRADE_LOCK = 0x64656570


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
    sa.Column("said", sa.Text),
    sa.Column("retry_of", sa.String(32)),
    sa.Column("promote_if", sa.Text),
    sa.Column("server", sa.String(32), nullable=False, server_default=""),
    sa.Column("home", sa.String(32), nullable=False, server_default=""),
    sa.Column("anywhere", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("runs_by_state", "state", "number"),
    sa.Index("runs_by_model", "model", "number"),
    sqlite_autoincrement=True,
)

#: Which run's model somebody chose to be served; without a run, the model as it was installed.
choices = sa.Table(
    "choices",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("run", sa.String(32)),
    sa.Column("at", UtcDateTime, nullable=False),
)

#: The servers that use this database. ``seen_at`` is by the database's own clock.
servers = sa.Table(
    "servers",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
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
        if url:
            engine = _server_engine(url)
            shown = _shown(url)
        else:
            await asyncio.to_thread(_make_file, folder / FILE_NAME)
            engine = _sqlite_engine(folder / FILE_NAME)
            shown = str(folder / FILE_NAME)
        try:
            async with engine.begin() as connection:
                await _check(connection, shown)
                await _upgrade(connection, shown)
        except _unreachable() as error:
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
        ids: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Run]:
        query = sa.select(*_IN_LISTS).order_by(runs.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(runs.c.model == model)
        if states:
            query = query.where(runs.c.state.in_([str(state) for state in states]))
        if before is not None:
            query = query.where(runs.c.number < sa.select(runs.c.number).where(runs.c.id == before).scalar_subquery())
        if ids is not None:
            query = query.where(runs.c.id.in_(ids))
        if since is not None:
            query = query.where(runs.c.created_at >= since)
        if until is not None:
            query = query.where(runs.c.created_at < until)
        return await self._rows(query)

    async def queue(
        self, limit: int, home: str = "", models: Mapping[str, str] = MappingProxyType({})
    ) -> Sequence[Run]:
        place = sa.func.row_number().over(partition_by=runs.c.model, order_by=runs.c.number).label("place")
        waiting = (
            sa.select(runs.c.number, place)
            .where(runs.c.state == str(RunState.QUEUED), sa.or_(runs.c.home == home, _for_all(models)))
            .subquery("waiting")
        )
        return await self._rows(
            sa.select(*_IN_LISTS)
            .join(waiting, waiting.c.number == runs.c.number)
            .where(waiting.c.place <= limit)
            .order_by(runs.c.number)
        )

    async def positions(self) -> Mapping[str, int]:
        query = (
            sa.select(runs.c.id)
            .where(runs.c.state == str(RunState.QUEUED))
            .order_by(runs.c.number)
            .limit(MAX_POSITIONS)
        )
        async with self._transaction() as connection:
            return {row.id: place for place, row in enumerate(await connection.execute(query), 1)}

    async def count(self) -> Mapping[RunState, int]:
        query = sa.select(runs.c.state, sa.func.count()).group_by(runs.c.state)
        async with self._transaction() as connection:
            return {RunState(state): number for state, number in await connection.execute(query)}

    async def replace(self, old: Run, new: Run, *, unseen_since: datetime | None = None) -> bool:
        unchanged = [runs.c.id == old.id, runs.c.state == str(old.state), runs.c.server == old.place.server]
        if unseen_since is not None:
            seen_at = sa.select(servers.c.seen_at).where(servers.c.id == old.place.server).scalar_subquery()
            unchanged.append(seen_at == unseen_since)
        if old.process is None:
            unchanged.append(runs.c.pid.is_(None))
        else:
            unchanged += [runs.c.pid == old.process.pid, runs.c.pid_started == old.process.started]
        async with self._transaction() as connection:
            done = await connection.execute(runs.update().where(*unchanged).values(**_columns(new)))
        return done.rowcount == 1

    async def remove(self, run_id: str) -> bool:
        over = [str(state) for state in RunState if state.over]
        async with self._transaction() as connection:
            done = await connection.execute(runs.delete().where(runs.c.id == run_id, runs.c.state.in_(over)))
        return done.rowcount == 1

    async def choose(self, model: str, choice: Choice) -> None:
        await self._put(choices, {"model": model}, {"run": choice.run, "at": choice.at})

    async def chosen(self, model: str) -> Choice | None:
        async with self._transaction() as connection:
            row = (await connection.execute(choices.select().where(choices.c.model == model))).one_or_none()
        return None if row is None else Choice(row.run, row.at)

    async def greet(self, server: str, address: str) -> None:
        whole_seconds_otherwise = sa.func.strftime("%Y-%m-%d %H:%M:%f000", "now")
        now = whole_seconds_otherwise if self._engine.dialect.name == "sqlite" else sa.func.current_timestamp()
        await self._put(servers, {"id": server}, {"address": address, "seen_at": now})

    async def peers(self) -> Mapping[str, Peer]:
        async with self._transaction() as connection:
            return {row.id: Peer(row.address, row.seen_at) for row in await connection.execute(servers.select())}

    async def close(self) -> None:
        await self._engine.dispose()

    async def _put(self, table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Insert a row, or change the one of this key."""
        statement: Any = self._insert_into(table).values(**key, **values)
        async with self._transaction() as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=dict(values)))

    def _insert_into(self, table: sa.Table) -> sa.Insert:
        """An insert that can become an update."""
        if self._engine.dialect.name == "sqlite":
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql  # 30 ms that no other start should wait for

        return postgresql.insert(table)

    async def _rows(self, query: sa.Select[Any]) -> Sequence[Run]:
        async with self._transaction() as connection:
            return [_run(row) for row in await connection.execute(query)]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except _unreachable() as error:
            raise StoreUnavailable(f"The database of training runs cannot be used: {_reason(error)}") from error


def _for_all(models: Mapping[str, str]) -> sa.ColumnElement[bool]:
    """Runs of these models, at these versions, that any server may execute."""
    these = (sa.and_(runs.c.model == model, runs.c.version == version) for model, version in models.items())
    return sa.and_(runs.c.anywhere, sa.or_(sa.false(), *these))


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
    if connection.dialect.name == "postgresql":  # several servers may come at the same moment; the first one does it
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
        if await connection.run_sync(_version) == migrations.HEAD:
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
        "said": None if run.said == Said() else json.dumps(_said_columns(run.said), allow_nan=False),
        "retry_of": run.retry_of,
        "promote_if": run.promote_if and str(run.promote_if),
        "server": run.place.server,
        "home": run.place.home,
        "anywhere": run.place.anywhere,
    }


def _said_columns(said: Said) -> dict[str, Any]:
    progress = said.progress and [said.progress.done, said.progress.total]
    return {"progress": progress, "metrics": dict(said.metrics), "reports": said.reports}


def _said(text: str | None) -> Said:
    if text is None:
        return Said()
    told = json.loads(text)
    return Said(told["progress"] and Progress(*told["progress"]), told["metrics"], told["reports"])


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
        said=_said(row.said),
        retry_of=row.retry_of,
        promote_if=None if row.promote_if is None else Condition.parse(row.promote_if),
        place=Place(row.server, row.home, row.anywhere),
    )
