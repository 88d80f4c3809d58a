"""Runs the queries of ``sql`` endpoints. Values travel beside the text, never in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from deepaas_core.datasets.connections import Connections, was_lost
from deepaas_core.domain.argument import Kind
from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.sql_query import SqlQuery, Statement, Table, from_database
from deepaas_core.errors import ConnectionUnavailable

#: More values than these are made JSON-native on a thread.
FEW_VALUES = 5000

_TYPES: Mapping[Kind, type[sa.types.TypeEngine[Any]]] = {
    Kind.INTEGER: sa.BigInteger,
    Kind.NUMBER: sa.Double,
    Kind.STRING: sa.Text,
    Kind.BOOLEAN: sa.Boolean,
    Kind.DATE: sa.Date,
    Kind.DECIMAL: sa.Numeric,
    Kind.UUID: sa.Uuid,
}


#: Statements that give rows, which can be taken piece by piece.
_GIVES_ROWS = re.compile(
    r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*(?:SELECT|VALUES|TABLE|WITH)\b", re.IGNORECASE | re.DOTALL
)


async def run(connections: Connections, query: SqlQuery, values: Mapping[str, Any]) -> Table:
    """Run a query; see ``datasets.base.Datasets.query``."""
    try:
        return await _run_once(connections, query, values)
    except ConnectionUnavailable as error:
        if not (query.read_only and was_lost(error)):
            raise
    return await _run_once(connections, query, values)  # what only reads can be asked again


async def _run_once(connections: Connections, query: SqlQuery, values: Mapping[str, Any]) -> Table:
    answer: Table | None = None
    changed: int | None = None
    timeout_s = min(query.timeout_s, connections.timeout_s(query.connection))
    async with connections.connect(query.connection, timeout_s, query.read_only) as connection:
        for statement in query.statements:
            made = statement_of(statement, query.parameters, values)
            if query.read_only and _GIVES_ROWS.match(statement.texts[0]):
                streamed = await connection.stream(made)
                rows = await streamed.fetchmany(query.max_rows + 1)
                answer = await _table(tuple(streamed.keys()), rows, query.max_rows)
                await streamed.close()
                continue
            result = await connection.execute(made)
            if result.returns_rows:
                rows = result.fetchmany(query.max_rows + 1)
                answer = await _table(tuple(result.keys()), rows, query.max_rows)
            elif result.rowcount >= 0:
                changed = (changed or 0) + result.rowcount
        if not query.read_only:
            await connection.commit()
    return answer or Table((), (), updated_rows=changed)


def statement_of(statement: Statement, parameters: Arguments, values: Mapping[str, Any]) -> sa.TextClause:
    """A statement as SQLAlchemy takes it, with its values beside it.

    Every colon in the author's own text is marked as such, so that nothing but our names is taken for a name.
    """
    texts = [text.replace(":", "\\:") for text in statement.texts]
    text = texts[0] + "".join(f" :{name}{after}" for name, after in zip(statement.names, texts[1:], strict=True))
    bound = [
        sa.bindparam(name, values[name], _type(parameters[name].kind, values[name]))
        for name in dict.fromkeys(statement.names)
    ]
    return sa.text(text).bindparams(*bound)


def _type(kind: Kind, value: Any) -> sa.types.TypeEngine[Any]:
    if kind is Kind.DATETIME:
        return sa.DateTime(timezone=isinstance(value, datetime) and value.tzinfo is not None)
    return _TYPES[kind]()


async def _table(columns: tuple[str, ...], rows: Sequence[sa.Row[Any]], max_rows: int) -> Table:
    def plain() -> list[list[Any]]:
        return [[from_database(value) for value in row] for row in rows[:max_rows]]

    made = plain() if len(rows) * len(columns) <= FEW_VALUES else await asyncio.to_thread(plain)
    return Table(columns, made, truncated=len(rows) > max_rows)
