"""Tokens and the rules of names in a database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from deepaas_core.domain.access import ALL_NAMES, Limits, Names, Policy, Records, Right, Rule, Scope, Token
from deepaas_core.errors import Conflict, TokenNotFound
from deepaas_core.stores.database import Database, UtcDateTime, metadata

#: ``names`` is a JSON list; without one, a token is for all names.
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("hint", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("rights", sa.Text, nullable=False),
    sa.Column("names", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
    sa.Column("requests_per_s", sa.Float),
    sa.Column("burst", sa.Integer),
    sa.Column("max_body_mb", sa.Float),
    sqlite_autoincrement=True,
)

rules = sa.Table(
    "access_rules",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("policy", sa.String(16)),
    sa.Column("requests_per_s", sa.Float),
    sa.Column("burst", sa.Integer),
    sa.Column("max_body_mb", sa.Float),
)

#: How often some kind of records has changed, for whoever keeps a copy of them; a migration adds the row of each kind.
revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("of", sa.String(32), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)
_ACCESS = "access"
#: So many tokens are read without a pause, in which others are served.
AT_ONCE = 200


class SqlTokenStore:
    """Keeps tokens and the rules of names in a database."""

    def __init__(self, database: Database):
        self._database = database

    async def add(self, token: Token) -> None:
        async with self._database.transaction() as connection:
            try:
                await connection.execute(tokens.insert().values(**_columns(token)))
            except IntegrityError:
                raise Conflict(f"There is a token {token.id} already.") from None
            await _count_change(connection)

    async def revoke(self, token_id: str, at: datetime) -> Token:
        earliest = sa.func.coalesce(tokens.c.revoked_at, sa.literal(at, UtcDateTime))
        async with self._database.transaction() as connection:
            await connection.execute(tokens.update().where(tokens.c.id == token_id).values(revoked_at=earliest))
            row = (await connection.execute(tokens.select().where(tokens.c.id == token_id))).one_or_none()
            if row is None:
                raise TokenNotFound(token_id)
            await _count_change(connection)
        return _token(row)

    async def set_rule(self, name: str, rule: Rule | None) -> None:
        if rule is None:
            statement: Any = rules.delete().where(rules.c.name == name)
        else:
            policy = rule.policy and str(rule.policy)
            statement = self._database.upsert(rules, {"name": name}, {"policy": policy, **_limits_columns(rule.limits)})
        async with self._database.transaction() as connection:
            await connection.execute(statement)
            await _count_change(connection)

    async def revision(self) -> int:
        async with self._database.transaction() as connection:
            return await _revision(connection)

    async def records(self) -> Records:
        async with self._database.transaction() as connection:
            revision = await _revision(connection)  # first: what changes meanwhile is then read once more
            found: list[Token] = []
            async for rows in (await connection.stream(tokens.select().order_by(tokens.c.number))).partitions(AT_ONCE):
                found += map(_token, rows)
            said = await connection.execute(rules.select().order_by(rules.c.name))
            return Records(revision, tuple(found), {row.name: _rule(row) for row in said})


async def _count_change(connection: AsyncConnection) -> None:
    await connection.execute(revisions.update().where(revisions.c.of == _ACCESS).values(number=revisions.c.number + 1))


async def _revision(connection: AsyncConnection) -> int:
    number = await connection.execute(sa.select(revisions.c.number).where(revisions.c.of == _ACCESS))
    return int(number.scalar_one())


def _columns(token: Token) -> dict[str, Any]:
    names = token.scope.names
    return {
        "id": token.id,
        "hint": token.hint,
        "digest": token.digest,
        "label": token.label,
        "rights": json.dumps(sorted(token.scope.rights)),
        "names": None if names.everything else json.dumps(sorted(names.listed)),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        **_limits_columns(token.limits),
    }


def _limits_columns(limits: Limits) -> Mapping[str, Any]:
    return {
        "requests_per_s": limits.requests_per_s,
        "burst": limits.burst,
        "max_body_mb": limits.max_body_mb,
    }


def _token(row: sa.Row[Any]) -> Token:
    names = ALL_NAMES if row.names is None else Names(frozenset(json.loads(row.names)))
    return Token(
        id=row.id,
        hint=row.hint,
        digest=row.digest,
        label=row.label,
        scope=Scope(frozenset(map(Right, json.loads(row.rights))), names),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        limits=_limits(row),
    )


def _rule(row: sa.Row[Any]) -> Rule:
    return Rule(None if row.policy is None else Policy(row.policy), _limits(row))


def _limits(row: sa.Row[Any]) -> Limits:
    return Limits(row.requests_per_s, row.burst, row.max_body_mb)
