"""Training runs in a database."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from deepaas_core.domain.access import ALL_NAMES, Names
from deepaas_core.domain.reports import Condition, Progress, Said
from deepaas_core.domain.training import Choice, Place, Process, Run, RunError, RunState
from deepaas_core.errors import Conflict, RunNotFound
from deepaas_core.stores.base import LONG_RESULT_CHARS, Peer
from deepaas_core.stores.database import Database, UtcDateTime, metadata

MAX_POSITIONS = 5000

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
    """Keeps training runs in a database."""

    def __init__(self, database: Database):
        self._database = database

    async def add(self, run: Run) -> None:
        async with self._database.transaction() as connection:
            try:
                await connection.execute(runs.insert().values(id=run.id, **_columns(run)))
            except IntegrityError:
                raise Conflict(f"There is a training run {run.id} already.") from None

    async def get(self, run_id: str) -> Run:
        async with self._database.transaction() as connection:
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
        models: Names = ALL_NAMES,
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
        if not models.everything:
            among = runs.c.model.in_(models.listed)
            query = query.where(~among if models.all_but else among)
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
        async with self._database.transaction() as connection:
            return {row.id: place for place, row in enumerate(await connection.execute(query), 1)}

    async def count(self) -> Mapping[RunState, int]:
        query = sa.select(runs.c.state, sa.func.count()).group_by(runs.c.state)
        async with self._database.transaction() as connection:
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
        async with self._database.transaction() as connection:
            done = await connection.execute(runs.update().where(*unchanged).values(**_columns(new)))
        return done.rowcount == 1

    async def remove(self, run_id: str) -> bool:
        over = [str(state) for state in RunState if state.over]
        async with self._database.transaction() as connection:
            done = await connection.execute(runs.delete().where(runs.c.id == run_id, runs.c.state.in_(over)))
        return done.rowcount == 1

    async def choose(self, model: str, choice: Choice) -> None:
        await self._database.put(choices, {"model": model}, {"run": choice.run, "at": choice.at})

    async def chosen(self, model: str) -> Choice | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(choices.select().where(choices.c.model == model))).one_or_none()
        return None if row is None else Choice(row.run, row.at)

    async def greet(self, server: str, address: str) -> None:
        await self._database.put(servers, {"id": server}, {"address": address, "seen_at": self._database.now})

    async def peers(self) -> Mapping[str, Peer]:
        async with self._database.transaction() as connection:
            return {row.id: Peer(row.address, row.seen_at) for row in await connection.execute(servers.select())}

    async def _rows(self, query: sa.Select[Any]) -> Sequence[Run]:
        async with self._database.transaction() as connection:
            return [_run(row) for row in await connection.execute(query)]


def _for_all(models: Mapping[str, str]) -> sa.ColumnElement[bool]:
    """Runs of these models, at these versions, that any server may execute."""
    these = (sa.and_(runs.c.model == model, runs.c.version == version) for model, version in models.items())
    return sa.and_(runs.c.anywhere, sa.or_(sa.false(), *these))


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
