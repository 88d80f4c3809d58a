"""Services in a database: generations, deployments, rollouts, test queries.

Every change begins by counting itself, which takes the lock that makes all changes of services follow one another; what
is looked at behind that is as it will be when the change is stored.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from deepaas_core.domain.deployment import Deployment, Generation, Rollout, RolloutState
from deepaas_core.domain.service import Query, Service
from deepaas_core.errors import (
    Conflict,
    GenerationInUse,
    GenerationNotFound,
    RolloutNotFound,
    ServiceNotFound,
    VersionTaken,
)
from deepaas_core.stores.database import Database, UtcDateTime, metadata
from deepaas_core.stores.sql_tokens import revisions

#: A generation that is deleted stays as a row, so that its version is not given to another one.
generations = sa.Table(
    "generations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("service", sa.String(64), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("notes", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.UniqueConstraint("service", "version"),
    sqlite_autoincrement=True,
)

#: One row for each service; ``queries`` are its test queries, in JSON.
deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("service", sa.String(64), primary_key=True),
    sa.Column("shares", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("changed_at", UtcDateTime),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("queries", sa.Text),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("service", sa.String(64), nullable=False),
    sa.Column("shares", sa.Text, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("server", sa.String(32), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Index("rollouts_by_service", "service", "number"),
    sqlite_autoincrement=True,
)

_SERVICES = "services"
_OPEN = [str(state) for state in RolloutState if not state.over]


class SqlServiceStore:
    """Keeps services in a database."""

    def __init__(self, database: Database):
        self._database = database

    async def add_generation(self, generation: Generation) -> Generation:
        service, version = generation.service, generation.version
        of_service = generations.c.service == service
        async with self._change() as connection:
            known = await connection.execute(
                sa.select(generations.c.id).where(of_service, generations.c.version == version)
            )
            if known.first() is not None:
                raise VersionTaken(service, version)
            greatest = await connection.execute(sa.select(sa.func.max(generations.c.number)).where(of_service))
            numbered = replace(generation, number=(greatest.scalar_one() or 0) + 1)
            await connection.execute(generations.insert().values(**_generation_columns(numbered)))
            if await _deployment(connection, service) is None:
                fresh = {"service": service, "shares": "{}", "enabled": True, "revision": 0}
                await connection.execute(deployments.insert().values(**fresh))
        return numbered

    async def generations(self, service: str | None = None) -> Sequence[Generation]:
        query = generations.select().where(sa.not_(generations.c.deleted)).order_by(generations.c.id)
        if service is not None:
            query = query.where(generations.c.service == service)
        async with self._database.transaction() as connection:
            return [_generation(row) for row in await connection.execute(query)]

    async def versions(self, service: str) -> frozenset[str]:
        query = sa.select(generations.c.version).where(generations.c.service == service)
        async with self._database.transaction() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def remove_generation(self, service: str, version: str) -> None:
        this = sa.and_(generations.c.service == service, generations.c.version == version)
        async with self._change() as connection:
            there = await connection.execute(sa.select(generations.c.id).where(this, sa.not_(generations.c.deleted)))
            if there.first() is None:
                raise GenerationNotFound(service, version)
            deployment = await _deployment(connection, service)
            if deployment is not None and version in deployment.live:
                raise GenerationInUse(service, version, "it is live.")
            going_on = rollouts.select().where(rollouts.c.service == service, rollouts.c.state.in_(_OPEN))
            for row in await connection.execute(going_on):
                if version in json.loads(row.shares):
                    raise GenerationInUse(service, version, f"rollout {row.id} is about to make it live.")
            await connection.execute(generations.update().where(this).values(deleted=True))

    async def remove_service(self, service: str) -> None:
        async with self._change() as connection:
            deployment = await _deployment(connection, service)
            if deployment is None:
                raise ServiceNotFound(service)
            if deployment.live and deployment.enabled:
                raise Conflict(f"Service {service!r} answers; disable it first.")
            for table in (generations, rollouts, deployments):
                await connection.execute(table.delete().where(table.c.service == service))

    async def deployments(self) -> Mapping[str, Deployment]:
        async with self._database.transaction() as connection:
            rows = await connection.execute(deployments.select().order_by(deployments.c.service))
            return {row.service: _deployed(row) for row in rows}

    async def set_enabled(self, service: str, enabled: bool, at: datetime) -> Deployment:
        async with self._change() as connection:
            deployment = await _deployment(connection, service)
            if deployment is None:
                raise ServiceNotFound(service)
            if deployment.enabled != enabled:
                revision = deployment.revision + 1
                deployment = replace(deployment, enabled=enabled, changed_at=at, revision=revision)
                await _put(connection, deployment)
        return deployment

    async def add_rollout(self, rollout: Rollout) -> None:
        async with self._change() as connection:
            query = sa.select(generations.c.version).where(
                generations.c.service == rollout.service, sa.not_(generations.c.deleted)
            )
            there = frozenset((await connection.execute(query)).scalars())
            for version in rollout.shares:
                if version not in there:
                    raise GenerationNotFound(rollout.service, version)
            await connection.execute(rollouts.insert().values(**_rollout_columns(rollout)))

    async def advance(self, old: Rollout, new: Rollout) -> bool:
        async with self._database.transaction() as connection:
            done = await connection.execute(
                rollouts.update()
                .where(rollouts.c.id == old.id, rollouts.c.state == str(old.state))
                .values(**_rollout_columns(new))
            )
            return done.rowcount == 1

    async def go_live(self, rollout: Rollout, at: datetime) -> Rollout | None:
        async with self._change() as connection:
            row = (await connection.execute(rollouts.select().where(rollouts.c.id == rollout.id))).one_or_none()
            deployment = await _deployment(connection, rollout.service)
            if row is None or deployment is None:
                return None
            if RolloutState(row.state).over or deployment.shares != dict(rollout.before):
                return None
            revision = deployment.revision + 1
            await _put(connection, replace(deployment, shares=rollout.shares, changed_at=at, revision=revision))
            live = replace(rollout, state=RolloutState.LIVE, finished_at=at, revision=revision)
            await connection.execute(
                rollouts.update().where(rollouts.c.id == rollout.id).values(**_rollout_columns(live))
            )
        return live

    async def rollout(self, service: str, rollout_id: str) -> Rollout:
        query = rollouts.select().where(rollouts.c.service == service, rollouts.c.id == rollout_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise RolloutNotFound(service, rollout_id)
        return _rollout(row)

    async def rollouts(self, service: str, limit: int) -> Sequence[Rollout]:
        query = rollouts.select().where(rollouts.c.service == service).order_by(rollouts.c.number.desc()).limit(limit)
        async with self._database.transaction() as connection:
            return [_rollout(row) for row in await connection.execute(query)]

    async def open_rollouts(self) -> Sequence[Rollout]:
        query = rollouts.select().where(rollouts.c.state.in_(_OPEN)).order_by(rollouts.c.number)
        async with self._database.transaction() as connection:
            return [_rollout(row) for row in await connection.execute(query)]

    async def queries(self, service: str) -> Sequence[Query]:
        query = sa.select(deployments.c.queries).where(deployments.c.service == service)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise ServiceNotFound(service)
        return [Query(**plain) for plain in json.loads(row.queries or "[]")]

    async def set_queries(self, service: str, queries: Sequence[Query]) -> None:
        text = json.dumps([asdict(query) for query in queries])
        this = deployments.update().where(deployments.c.service == service)
        async with self._change() as connection:
            if (await connection.execute(this.values(queries=text))).rowcount == 0:
                raise ServiceNotFound(service)

    async def revision(self) -> int:
        async with self._database.transaction() as connection:
            number = await connection.execute(sa.select(revisions.c.number).where(revisions.c.of == _SERVICES))
            return int(number.scalar_one())

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that no other change of services is beside."""
        async with self._database.transaction() as connection:
            await connection.execute(
                revisions.update().where(revisions.c.of == _SERVICES).values(number=revisions.c.number + 1)
            )
            yield connection


async def _deployment(connection: AsyncConnection, service: str) -> Deployment | None:
    row = (await connection.execute(deployments.select().where(deployments.c.service == service))).one_or_none()
    return None if row is None else _deployed(row)


async def _put(connection: AsyncConnection, deployment: Deployment) -> None:
    values = {**asdict(deployment), "shares": json.dumps(dict(deployment.shares))}
    await connection.execute(deployments.update().where(deployments.c.service == values.pop("service")).values(values))


def _deployed(row: sa.Row[Any]) -> Deployment:
    return Deployment(row.service, json.loads(row.shares), row.enabled, row.changed_at, row.revision)


def _generation_columns(generation: Generation) -> dict[str, Any]:
    values = {name: getattr(generation, name) for name in ("service", "version", "number", "digest", "created_at")}
    definition = json.dumps(generation.definition.to_plain())
    sizes = {"notes": generation.notes, "size_bytes": generation.size_bytes}
    return {**values, **sizes, "definition": definition, "deleted": False}


def _generation(row: sa.Row[Any]) -> Generation:
    return Generation(
        service=row.service,
        version=row.version,
        digest=row.digest,
        definition=Service.from_plain(json.loads(row.definition)),
        created_at=row.created_at,
        number=row.number,
        notes=row.notes,
        size_bytes=row.size_bytes,
    )


def _rollout_columns(rollout: Rollout) -> dict[str, Any]:
    shares = {name: json.dumps(dict(getattr(rollout, name))) for name in ("shares", "before")}
    return {**asdict(rollout), **shares, "state": str(rollout.state)}


def _rollout(row: sa.Row[Any]) -> Rollout:
    values = dict(row._mapping)
    del values["number"]
    read = {"shares": json.loads(row.shares), "before": json.loads(row.before), "state": RolloutState(row.state)}
    return Rollout(**{**values, **read})
