"""A dataset: rows of named columns that enrichments and lookups search by key.

It is either a file in the service's folder, which travels with every generation, or a table behind a connection that
each server names in its own settings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1


class ColumnType(StrEnum):
    """What the values of a column are; each may be missing as well.

    Rows carry them as JSON does: a date or a point in time is ISO 8601 text. ``other`` is what a database knows beside
    these; it can be fetched, but is no key.
    """

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    OTHER = "other"


@dataclass(frozen=True)
class Dataset:
    """Where rows come from: either ``file``, or ``connection`` and ``table``.

    Attributes:
        name: What enrichments call it.
        file: Path of a CSV or Parquet file below the service's folder.
        connection: Name of a connection in the server's settings.
        table: A table or view behind it, ``name`` or ``schema.name``.
        types: Of a file's columns, where its values alone would be taken for something else, e.g. a code of digits
            that is text.
    """

    name: str
    file: str = ""
    connection: str = ""
    table: str = ""
    types: Mapping[str, ColumnType] = field(default_factory=dict)

    @property
    def bundled(self) -> bool:
        """Whether it travels in the generation."""
        return bool(self.file)


class UnfitKey(ValueError):
    """A value that no cell of the column can have; the text says what it must be."""


def no_column(column: str, columns: Iterable[str]) -> str:
    """What is said of a file or table that lacks a column, after its name."""
    return f"has no column {column!r}; there are: {', '.join(columns)}."


def is_missing(kind: ColumnType, value: Any) -> bool:
    """Whether a value of a record says nothing: null, not a number, or an empty cell where text means nothing."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (value == "" and kind is not ColumnType.TEXT)


def key_value(kind: ColumnType, value: Any) -> Any:
    """A record's value as a column of this type has it.

    Text is understood where a form or a file can send nothing else, and whole numbers where a key is text.

    Raises:
        UnfitKey: No cell of such a column can be meant.
    """
    return _KEYS[kind](value)


def _whole(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not _MIN_INTEGER <= value <= _MAX_INTEGER:
        raise UnfitKey("Must be a whole number.")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number that no float can be
        pass
    raise UnfitKey("Must be a number.")


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UnfitKey("Must be text.")
    return value


def _boolean(value: Any) -> bool:
    truth = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in truth:
        return truth[value.lower()]
    if not isinstance(value, bool):
        raise UnfitKey("Must be true or false.")
    return value


def _date(value: Any) -> str:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise UnfitKey("Must be a date like 2024-05-31.")


def _datetime(value: Any) -> str:
    try:
        return datetime.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise UnfitKey("Must be a date and time like 2024-05-31T12:00:00.") from None


def _other(_: Any) -> Any:
    raise UnfitKey("Is no column to search by.")


_KEYS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INTEGER: _whole,
    ColumnType.NUMBER: _number,
    ColumnType.TEXT: _text,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATE: _date,
    ColumnType.DATETIME: _datetime,
    ColumnType.OTHER: _other,
}
