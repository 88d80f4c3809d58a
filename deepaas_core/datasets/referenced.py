"""Lookups in a table of a database that the server's settings name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from deepaas_core.datasets.connections import Connections, was_lost
from deepaas_core.domain.dataset import ColumnType, Dataset, key_value
from deepaas_core.domain.enrichment import ENOUGH_ROWS
from deepaas_core.domain.sql_query import from_database
from deepaas_core.errors import ConnectionUnavailable, DatasetUnusable, QueryFailed

#: One query asks for at most so many keys.
MAX_KEYS = 512
Key = tuple[Any, ...]


class ReferencedRows:
    """The rows of a table or view; see ``datasets.base.Rows``. Made by ``open``."""

    def __init__(self, connections: Connections, dataset: Dataset, table: sa.Table):
        self._connections, self._dataset, self._table = connections, dataset, table
        self._of_one: dict[tuple[Key, Key], sa.Select[Any]] = {}
        self.columns: Mapping[str, ColumnType] = {column.name: kind_of(column.type) for column in table.columns}

    @classmethod
    async def open(cls, connections: Connections, dataset: Dataset) -> ReferencedRows:
        """Ask the database for the table's columns.

        Raises:
            ConnectionUnavailable: It cannot be reached.
            DatasetUnusable: There is no such table.
        """
        name = dataset.connection
        schema, _, table = dataset.table.rpartition(".")
        async with connections.connect(name, connections.timeout_s(name)) as connection:
            try:
                found = await connection.run_sync(
                    lambda sync: sa.Table(
                        table, sa.MetaData(), schema=schema or None, autoload_with=sync, resolve_fks=False
                    )
                )
            except sa.exc.NoSuchTableError:
                text = f"The database of connection {name!r} has no table {dataset.table!r}."
                raise DatasetUnusable(dataset.name, text) from None
        return cls(connections, dataset, found)

    async def find(
        self, keys: Sequence[str], wanted: Sequence[Sequence[Any]], columns: Sequence[str]
    ) -> Sequence[Sequence[Sequence[Any]]]:
        found: dict[Key, list[Sequence[Any]]] = {tuple(key): [] for key in wanted}
        by_key = {key: given for key in found if (given := self._given(keys, key)) is not None}
        for some in _pieces(list(by_key), MAX_KEYS):
            for row in await self._fetch(*self._asking(keys, [by_key[key] for key in some], columns)):
                values = [from_database(value) for value in row]
                key = some[0] if len(some) == 1 else self._key(keys, values)
                found[key].append(values[len(keys) :])
        return [found[tuple(key)] for key in wanted]

    async def close(self) -> None:
        """The connections belong to all datasets."""

    async def _fetch(self, statement: sa.Select[Any], values: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        """The rows of a query; one that finds its connection dead is asked once more by a new one."""
        try:
            return await self._fetch_once(statement, values)
        except ConnectionUnavailable as error:
            if not was_lost(error):
                raise
        return await self._fetch_once(statement, values)

    async def _fetch_once(self, statement: sa.Select[Any], values: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        name = self._dataset.connection
        async with self._connections.connect(name, self._connections.timeout_s(name)) as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")  # no round trips around it
            rows: Sequence[sa.Row[Any]] = (await alone.execute(statement, values)).all()
            return rows

    def _asking(
        self, keys: Sequence[str], wanted: Sequence[Key], columns: Sequence[str]
    ) -> tuple[sa.Select[Any], Mapping[str, Any]]:
        """The query for the rows of some keys, and its values; that for one key is made once."""
        if len(wanted) > 1:
            return self._of_many(keys, wanted, columns), {}
        asked = tuple(keys), tuple(columns)
        if asked not in self._of_one:
            on, shown = self._shown(keys, columns)
            conditions = [column == sa.bindparam(f"key{at}", type_=_type(column)) for at, column in enumerate(on)]
            self._of_one[asked] = sa.select(*shown).where(*conditions).limit(ENOUGH_ROWS)
        return self._of_one[asked], {f"key{at}": value for at, value in enumerate(wanted[0])}

    def _shown(self, keys: Sequence[str], columns: Sequence[str]) -> tuple[list[sa.Column[Any]], list[sa.Label[Any]]]:
        """The columns of a key, and what is asked for: these first, then what is to be fetched."""
        on = [self._column(column) for column in keys]
        fetched = [self._column(column).label(f"v{at}") for at, column in enumerate(columns)]
        return on, [*(column.label(f"k{at}") for at, column in enumerate(on)), *fetched]

    def _of_many(self, keys: Sequence[str], wanted: Sequence[Key], columns: Sequence[str]) -> sa.Select[Any]:
        """The query for enough rows of each of some keys."""
        on, shown = self._shown(keys, columns)
        padded = [*wanted, *[wanted[-1]] * (_power_of_two(len(wanted)) - len(wanted))]  # few statements to prepare
        if len(on) == 1:
            condition = on[0].in_(sa.bindparam("keys", [key for (key,) in padded], _type(on[0]), expanding=True))
        else:
            types = [_type(column) for column in on]
            condition = sa.tuple_(*on, types=types).in_(padded)
        number = sa.func.row_number().over(partition_by=on).label("n")
        numbered = sa.select(*shown, number).where(condition).subquery()
        wanted_columns = [column for column in numbered.columns if column.name != "n"]
        return sa.select(*wanted_columns).where(numbered.columns.n <= ENOUGH_ROWS)

    def _column(self, name: str) -> sa.Column[Any]:
        try:
            return self._table.columns[name]
        except KeyError:
            text = f"Table {self._dataset.table!r} has no column {name!r}."
            raise QueryFailed(self._dataset.connection, text) from None

    def _given(self, keys: Sequence[str], key: Key) -> Key | None:
        """A key in the types of the database; None if no row can have it."""
        try:
            return tuple(_to_database(self._column(column), value) for column, value in zip(keys, key, strict=True))
        except (ValueError, OverflowError):
            return None

    def _key(self, keys: Sequence[str], values: Sequence[Any]) -> Key:
        """The key of a row as whoever asked for it has it."""
        return tuple(key_value(self.columns[column], value) for column, value in zip(keys, values, strict=False))


def kind_of(kind: sa.types.TypeEngine[Any]) -> ColumnType:
    """What a database's type is in our words."""
    if isinstance(kind, sa.Float):
        return ColumnType.NUMBER
    if isinstance(kind, sa.Numeric):
        return ColumnType.INTEGER if kind.scale == 0 and kind.precision else ColumnType.NUMBER
    for ours, theirs in _KINDS.items():
        if isinstance(kind, theirs):
            return ours
    return ColumnType.OTHER


_KINDS: Mapping[ColumnType, tuple[type[sa.types.TypeEngine[Any]], ...]] = {
    ColumnType.BOOLEAN: (sa.Boolean,),
    ColumnType.INTEGER: (sa.Integer,),
    ColumnType.DATETIME: (sa.DateTime,),
    ColumnType.DATE: (sa.Date,),
    ColumnType.TEXT: (sa.String, sa.Uuid),
}


def _type(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """The type as which a key travels: wide enough for any, and such that an index on the column still serves."""
    if isinstance(column.type, sa.Integer):
        return sa.BigInteger()
    if isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum):
        return sa.Text()
    return column.type


def _bound(column: sa.Column[Any], value: Any) -> sa.BindParameter[Any]:
    return sa.bindparam(None, value, _type(column))


def _to_database(column: sa.Column[Any], value: Any) -> Any:
    kind = column.type
    if isinstance(kind, sa.Uuid):
        return uuid.UUID(value)
    if isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float):
        return Decimal(repr(value))
    if isinstance(kind, sa.DateTime):
        return _moment(datetime.fromisoformat(value), with_zone=kind.timezone)
    if isinstance(kind, sa.Date):
        return date.fromisoformat(value)
    if isinstance(kind, sa.Enum) and value not in kind.enums:
        raise ValueError
    return value


def _moment(value: datetime, with_zone: bool) -> datetime:
    """A point in time as the column has it; what has no zone is taken for UTC."""
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return aware if with_zone else aware.replace(tzinfo=None)


def _pieces(keys: Sequence[Key], length: int) -> Iterator[Sequence[Key]]:
    for at in range(0, len(keys), length):
        yield keys[at : at + length]


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
