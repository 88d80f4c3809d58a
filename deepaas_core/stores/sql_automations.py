"""Executions of automations in a database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from deepaas_core.domain.automation import Execution, ExecutionState, Step, StepName, StepState
from deepaas_core.errors import ExecutionNotFound
from deepaas_core.stores.database import Database, UtcDateTime, metadata

executions = sa.Table(
    "executions",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("service", sa.String(64), nullable=False),
    sa.Column("automation", sa.String(64), nullable=False),
    sa.Column("cause", sa.String(16), nullable=False),
    sa.Column("due", sa.String(64), nullable=False),
    sa.Column("base", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("steps", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("run", sa.String(32)),
    sa.Column("version", sa.String(64)),
    sa.Column("server", sa.String(32), nullable=False),
    sa.UniqueConstraint("service", "automation", "due"),
    sqlite_autoincrement=True,
)


class SqlAutomationStore:
    """Keeps executions of automations in a database."""

    def __init__(self, database: Database):
        self._database = database

    async def add(self, execution: Execution) -> bool:
        async with self._database.transaction() as connection:
            try:
                async with connection.begin_nested():
                    await connection.execute(executions.insert().values(**_columns(execution)))
            except IntegrityError:
                return False
        return True

    async def get(self, service: str, execution_id: str) -> Execution:
        query = executions.select().where(executions.c.service == service, executions.c.id == execution_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise ExecutionNotFound(service, execution_id)
        return _execution(row)

    async def list(self, service: str, automation: str | None = None, limit: int = 100) -> Sequence[Execution]:
        query = executions.select().where(executions.c.service == service)
        if automation is not None:
            query = query.where(executions.c.automation == automation)
        return await self._rows(query.order_by(executions.c.number.desc()).limit(limit))

    async def open(self) -> Sequence[Execution]:
        going_on = executions.select().where(executions.c.state == str(ExecutionState.RUNNING))
        return await self._rows(going_on.order_by(executions.c.number))

    async def last(self, service: str, automation: str, cause: str) -> Execution | None:
        query = executions.select().where(
            executions.c.service == service, executions.c.automation == automation, executions.c.cause == cause
        )
        return next(iter(await self._rows(query.order_by(executions.c.number.desc()).limit(1))), None)

    async def replace(self, old: Execution, new: Execution) -> bool:
        unchanged = (
            executions.c.id == old.id,
            executions.c.state == str(old.state),
            executions.c.steps == _steps(old),
            executions.c.server == old.server,
        )
        async with self._database.transaction() as connection:
            done = await connection.execute(executions.update().where(*unchanged).values(**_columns(new)))
        return done.rowcount == 1

    async def forget(self, service: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(executions.delete().where(executions.c.service == service))

    async def _rows(self, query: sa.Select[Any]) -> Sequence[Execution]:
        async with self._database.transaction() as connection:
            return [_execution(row) for row in await connection.execute(query)]


def _steps(execution: Execution) -> str:
    steps = [asdict(step) | {"at": step.at and step.at.isoformat()} for step in execution.steps]
    return json.dumps(steps)


def _columns(execution: Execution) -> dict[str, Any]:
    return {**asdict(execution), "steps": _steps(execution), "state": str(execution.state)}


def _execution(row: sa.Row[Any]) -> Execution:
    values = dict(row._mapping)
    del values["number"]
    steps = tuple(
        Step(
            StepName(one["name"]), StepState(one["state"]), one["text"], one["at"] and datetime.fromisoformat(one["at"])
        )
        for one in json.loads(row.steps)
    )
    return Execution(**{**values, "steps": steps, "state": ExecutionState(row.state)})
