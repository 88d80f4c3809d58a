"""The prediction log in a database: of its own in the data folder, or with the other records on a server.

What is counted lies apart from the texts, which are most of it, so that counting does not read them.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from deepaas_core.domain.access import Names
from deepaas_core.domain.prediction_log import (
    CATEGORIES,
    PARTS,
    Label,
    Latency,
    LogEntry,
    Predicted,
    Spread,
    Statistics,
    Wanted,
    duration_class,
    latency_of,
    step_of,
)
from deepaas_core.errors import StoreUnavailable, StoreUnusable
from deepaas_core.stores.database import Database

metadata = sa.MetaData()

#: An entry's id begins with its time, so whatever is asked of times is asked of ids. Entries of a service lie together.
predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("id", sa.LargeBinary(16), primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("request", sa.String(64), nullable=False),
    sa.Column("row", sa.Integer),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("generation", sa.Text, nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("duration_class", sa.Integer, nullable=False),
    sa.Column("number", sa.Float),
    sa.Column("category", sa.Text),
    sa.Column("scores", sa.Text),
    sa.Column("label", sa.Text),
    sa.Column("labelled_us", sa.BigInteger),
    sa.Index("predictions_by_id", "id", unique=True),
    sa.Index("predictions_of_request", "request", "row"),
    sqlite_with_rowid=False,
)
texts = sa.Table(
    "prediction_texts",
    metadata,
    sa.Column("id", sa.LargeBinary(16), primary_key=True),
    sa.Column("inputs", sa.Text),
    sa.Column("output", sa.Text),
    sa.Column("context", sa.Text),
)

#: Labels stored, and entries removed, at once; nobody else can write meanwhile.
LABELS_AT_ONCE, TRIMMED_AT_ONCE = 500, 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEEN = predictions.c


class SqlPredictionStore:
    """Keeps the prediction log in a database.

    Args:
        open_: Opens the database, which is not done before somebody needs it.
    """

    def __init__(self, open_: Callable[[], Awaitable[Database]]):
        self._open = open_
        self._opening = asyncio.Lock()
        self._opened: Database | None = None

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def _database(self) -> Database:
        async with self._opening:
            if self._opened is None:
                try:
                    self._opened = await self._open()
                except StoreUnusable as error:  # the server does without the log, and says so
                    raise StoreUnavailable(str(error)) from error
            return self._opened

    async def add(self, entries: Sequence[LogEntry]) -> None:
        database = await self._database()
        written = [
            {"id": bytes.fromhex(entry.id), "inputs": entry.inputs, "output": entry.output, "context": entry.context}
            for entry in entries
            if entry.inputs is not None or entry.output is not None or entry.context is not None
        ]
        async with database.transaction() as connection:
            await connection.execute(database.insert_new(predictions), [_columns(entry) for entry in entries])
            if written:
                await connection.execute(database.insert_new(texts), written)

    async def find(
        self, wanted: Wanted, limit: int, before: str | None = None, *, texts: bool = True
    ) -> Sequence[LogEntry]:
        statement = _with_texts() if texts else predictions.select()
        conditions = _conditions(wanted)
        if before is not None:
            conditions.append(_SEEN.id < bytes.fromhex(before))
        statement = statement.where(*conditions).order_by(_SEEN.id.desc()).limit(limit)
        async with (await self._database()).transaction() as connection:
            found = await connection.execute(statement)
            return [_entry(row, texts) for row in found]

    async def label(self, labels: Sequence[Label], names: Names, at: datetime) -> Sequence[Label]:
        unknown, database, at_us = [], await self._database(), _microseconds(at)
        mine = _of_names(names)
        for start in range(0, len(labels), LABELS_AT_ONCE):
            some = labels[start : start + LABELS_AT_ONCE]
            async with database.transaction() as connection:
                known = {(row.request, row.row) for row in await connection.execute(_labelled(some, mine))}
                known |= {(request, None) for request, _ in known}
                unknown += [label for label in some if (label.request, label.row) not in known]
                for told in _told_in_order([label for label in some if (label.request, label.row) in known]):
                    about = [_SEEN.request == sa.bindparam("of_request"), *mine]
                    if told[0].row is not None:
                        about.append(_SEEN.row == sa.bindparam("of_row"))
                    update = predictions.update().where(*about)
                    values = [
                        {"of_request": one.request, "of_row": one.row, "label": json.dumps(one.value)} for one in told
                    ]
                    await connection.execute(update.values(label=sa.bindparam("label"), labelled_us=at_us), values)
        return unknown

    async def statistics(self, wanted: Wanted) -> Statistics:
        database, where = await self._database(), sa.and_(True, *_conditions(wanted))
        async with database.transaction() as connection:
            summed = (await connection.execute(_summed(where))).all()
            if not summed:
                return Statistics()
            first, last = min(row.first for row in summed), max(row.last for row in summed)
            since = first if wanted.since is None else _microseconds(wanted.since)
            until = last + 1 if wanted.until is None else _microseconds(wanted.until)
            step = step_of(timedelta(microseconds=until - since)) // timedelta(microseconds=1)
            classified = sum(row.classified for row in summed)
            categories = await _categories(connection, where) if classified else {}
            least = min((row.least for row in summed if row.least is not None), default=None)
            most = max((row.most for row in summed if row.most is not None), default=None)
            counts = Counter[tuple[str, str, int]]()
            for row in summed:
                counts[row.endpoint, row.generation, row.status] += row.number
            return Statistics(
                counts=dict(counts),
                first=_moment(first),
                last=_moment(last),
                latency=_latency(summed),
                since=_moment(since),
                step_s=step / 1e6,
                timeline=await _timeline(connection, where, since, step),
                categories=categories,
                other=classified - sum(categories.values()),
                numbers=Spread()
                if least is None or most is None
                else await _numbers(connection, where, database, least, most),
                labelled=sum(row.labelled for row in summed),
            )

    async def trim(self, until: datetime | None, keep: int | None) -> int:
        database, removed = await self._database(), 0
        if until is not None:
            removed += await _remove(database, _SEEN.id < _id_at(until))
        if keep is not None:
            async with database.transaction() as connection:
                names = (await connection.execute(sa.select(_SEEN.service).distinct())).scalars().all()
            for name in names:
                removed += await _remove_but(database, name, keep)
        return removed


def _labelled(labels: Sequence[Label], mine: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """The requests and rows that labels are about."""
    rows = [(label.request, label.row) for label in labels if label.row is not None]
    whole = {label.request for label in labels if label.row is None}
    about = sa.or_(sa.tuple_(_SEEN.request, _SEEN.row).in_(rows), _SEEN.request.in_(whole))
    return sa.select(_SEEN.request, _SEEN.row).where(about, *mine).distinct()


def _told_in_order(labels: Sequence[Label]) -> Iterator[list[Label]]:
    """Labels that can be stored together: those of rows apart from those of whole requests, in their order."""
    for _, together in groupby(labels, lambda label: label.row is None):
        yield list(together)


async def _remove_but(database: Database, name: str, keep: int) -> int:
    newest = sa.select(_SEEN.id).where(_SEEN.service == name).order_by(_SEEN.id.desc()).offset(keep).limit(1)
    async with database.transaction() as connection:
        last = (await connection.execute(newest)).scalar_one_or_none()
    return 0 if last is None else await _remove(database, (_SEEN.service == name) & (_SEEN.id <= last))


async def _remove(database: Database, which: sa.ColumnElement[bool]) -> int:
    oldest = sa.select(_SEEN.id).where(which).order_by(_SEEN.id).limit(TRIMMED_AT_ONCE)
    async with database.transaction() as connection:
        ids = (await connection.execute(oldest)).scalars().all()
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            await connection.execute(texts.delete().where(texts.c.id.in_(some)))
            await connection.execute(predictions.delete().where(_SEEN.id.in_(some)))
    return len(ids)


async def _timeline(
    connection: AsyncConnection, where: sa.ColumnElement[bool], since: int, step: int
) -> Mapping[int, tuple[int, int]]:
    place = ((_SEEN.at_us - sa.literal_column(str(since))) // sa.literal_column(str(step))).label("place")
    failed = sa.func.sum(sa.case((_SEEN.status >= 400, 1), else_=0))
    found = await connection.execute(sa.select(place, sa.func.count(), failed).where(where).group_by(place))
    return {int(row[0]): (row[1], int(row[2])) for row in found}


def _summed(where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Everything that one look at each entry tells, by where it belongs and about how long it took."""
    group = (_SEEN.endpoint, _SEEN.generation, _SEEN.status, _SEEN.duration_class)
    return (
        sa.select(
            *group,
            sa.func.count().label("number"),
            sa.func.min(_SEEN.at_us).label("first"),
            sa.func.max(_SEEN.at_us).label("last"),
            sa.func.count(_SEEN.label).label("labelled"),
            sa.func.count(_SEEN.category).label("classified"),
            sa.func.min(_SEEN.number).label("least"),
            sa.func.max(_SEEN.number).label("most"),
            sa.func.sum(_SEEN.duration_s).label("seconds"),
            sa.func.max(_SEEN.duration_s).label("longest"),
        )
        .where(where)
        .group_by(*group)
    )


def _latency(summed: Sequence[sa.Row[Any]]) -> Mapping[str, Latency]:
    good = [row for row in summed if row.status < 400]
    parts: dict[str, list[sa.Row[Any]]] = {"": good} if good else {}
    for row in good:
        if row.generation:
            parts.setdefault(row.generation, []).append(row)
    return {
        part: latency_of(
            _by_class(rows),
            math.fsum(row.seconds for row in rows),
            max(row.longest for row in rows),
        )
        for part, rows in parts.items()
    }


def _by_class(rows: Sequence[sa.Row[Any]]) -> Mapping[int, int]:
    counts = Counter[int]()
    for row in rows:
        counts[row.duration_class] += row.number
    return counts


async def _categories(connection: AsyncConnection, where: sa.ColumnElement[bool]) -> Mapping[tuple[str, str], int]:
    number = sa.func.count(_SEEN.category)
    top = sa.select(_SEEN.category).where(where, _SEEN.category.is_not(None)).group_by(_SEEN.category)
    frequent = await connection.execute(top.order_by(number.desc(), _SEEN.category).limit(CATEGORIES))
    names = frequent.scalars().all()
    group = (_SEEN.category, _SEEN.generation)
    found = await connection.execute(
        sa.select(*group, number).where(where, _SEEN.category.in_(names)).group_by(*group).order_by(number.desc())
    )
    return {(row[0], row[1]): row[2] for row in found}


async def _numbers(
    connection: AsyncConnection, where: sa.ColumnElement[bool], database: Database, least: float, most: float
) -> Spread:
    width = (most - least) / PARTS or 1.0
    place = database.floor((_SEEN.number - sa.literal_column(repr(least))) / sa.literal_column(repr(width)))
    place = sa.case((place >= PARTS, PARTS - 1), else_=place).label("place")
    group = (_SEEN.generation, place)
    counts: dict[str, list[int]] = {}
    found = sa.select(*group, sa.func.count()).where(where, _SEEN.number.is_not(None)).group_by(*group)
    for generation, at, number in await connection.execute(found):
        counts.setdefault(generation, [0] * PARTS)[at] += number
    return Spread([least + at * width for at in range(PARTS + 1)], counts)


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    asked = ("service", "endpoint", "generation", "token", "request")
    found: list[sa.ColumnElement[bool]] = [_SEEN[name] == value for name in asked if (value := getattr(wanted, name))]
    if wanted.status is not None:
        first = wanted.status * 100
        found.append(_SEEN.status.between(first, first + 99) if wanted.status < 10 else _SEEN.status == wanted.status)
    if wanted.since is not None:
        found.append(_SEEN.id >= _id_at(wanted.since))
    if wanted.until is not None:
        found.append(_SEEN.id < _id_at(wanted.until))
    if wanted.labelled:
        found.append(_SEEN.label.is_not(None))
    return [*found, *_of_names(wanted.names)]


def _of_names(names: Names) -> list[sa.ColumnElement[bool]]:
    if names.everything:
        return []
    among = _SEEN.service.in_(sorted(names.listed))
    return [~among if names.all_but else among]


def _with_texts() -> sa.Select[Any]:
    columns = (*predictions.c, texts.c.inputs, texts.c.output, texts.c.context)
    return sa.select(*columns).select_from(predictions.outerjoin(texts, texts.c.id == _SEEN.id))


def _columns(entry: LogEntry) -> dict[str, Any]:
    return {
        "id": bytes.fromhex(entry.id),
        "at_us": _microseconds(entry.at),
        "request": entry.request,
        "row": entry.row,
        "service": entry.service,
        "endpoint": entry.endpoint,
        "generation": entry.generation,
        "token": entry.token,
        "status": entry.status,
        "error": entry.error,
        "duration_s": entry.duration_s,
        "duration_class": duration_class(entry.duration_s),
        "number": entry.predicted.number,
        "category": entry.predicted.category,
        "scores": json.dumps(dict(entry.predicted.scores)) if entry.predicted.scores else None,
        "label": entry.label,
        "labelled_us": None if entry.labelled_at is None else _microseconds(entry.labelled_at),
    }


def _entry(row: sa.Row[Any], with_texts: bool) -> LogEntry:
    return LogEntry(
        id=row.id.hex(),
        at=_moment(row.at_us),
        request=row.request,
        row=row.row,
        service=row.service,
        endpoint=row.endpoint,
        generation=row.generation,
        token=row.token,
        status=row.status,
        error=row.error,
        duration_s=row.duration_s,
        inputs=row.inputs if with_texts else None,
        output=row.output if with_texts else None,
        context=row.context if with_texts else None,
        predicted=Predicted(row.number, row.category, json.loads(row.scores) if row.scores else {}),
        label=row.label,
        labelled_at=None if row.labelled_us is None else _moment(row.labelled_us),
    )


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _id_at(at: datetime) -> bytes:
    """No id of an entry from this time on is smaller, and all earlier ones are."""
    return max(0, _microseconds(at)).to_bytes(8, "big")
