"""Rows against the features that an endpoint declares: names, types, shapes, bounds and classes.

What declares the features is compiled once; rows are then looked at column by column, since a whole column can mostly
be seen to be right at once, and a value is looked at by itself only where that is not so.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from deepaas_core.domain.images import decoded
from deepaas_core.domain.service import Feature, FeatureType
from deepaas_core.errors import Issue, did_you_mean

Record = dict[str, Any]

#: How one call's records may be in memory, roughly, and how many there may be.
MAX_CALL_BYTES = 8 * 2**20
MAX_CALL_ROWS = 500
#: What a cell that is no text says when it says nothing.
NOTHING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_TRUTH = {
    **dict.fromkeys(("true", "yes", "1", "1.0", "t", "y"), True),
    **dict.fromkeys(("false", "no", "0", "0.0", "f", "n"), False),
}
_MISSING: Any = object()
_REQUIRED = "This input is required."


@dataclass(frozen=True)
class Checked:
    """Rows that were looked at.

    Attributes:
        records: What the model gets for each of them; None for one that is not right.
        issues: What is wrong with those, by position; pointers are relative to the row.
    """

    records: list[Record | None]
    issues: dict[int, list[Issue]]


class Checker:
    """Checks rows.

    Args:
        features: What a row must have.
        has_default: What the function has a default of its own for; left out rather than given as null.
    """

    def __init__(self, features: Iterable[Feature], has_default: Collection[str] = ()):
        self._columns = [_Column(feature, feature.name in has_default) for feature in features]
        self._names = frozenset(column.name for column in self._columns)
        self.has_pictures = any(column.feature.type is FeatureType.IMAGE for column in self._columns)

    @property
    def names(self) -> list[str]:
        """The names of the features, in order."""
        return [column.name for column in self._columns]

    @property
    def call_rows(self) -> int:
        """How many rows go well into one call."""
        row_bytes = sum(column.row_bytes for column in self._columns)
        return max(1, min(MAX_CALL_ROWS, MAX_CALL_BYTES // max(row_bytes, 1)))

    def feature(self, name: str) -> Feature | None:
        """The feature of a name."""
        return next((column.feature for column in self._columns if column.name == name), None)

    def check(self, rows: Sequence[Any]) -> Checked:
        """Look at rows that came as JSON: each an object, in which text is text."""
        issues: dict[int, list[Issue]] = {}
        objects: list[Mapping[str, Any]] = []
        for at, row in enumerate(rows):
            if not isinstance(row, Mapping):
                issues[at] = [Issue("", "Must be an object of inputs by name.")]
                objects.append({})
                continue
            objects.append(row)
            if not row.keys() <= self._names:
                issues[at] = [self._unknown(name) for name in row if name not in self._names]
        columns = [
            (column, column.of_values([row.get(column.name, _MISSING) for row in objects])) for column in self._columns
        ]
        return _gathered(len(rows), columns, issues)

    def check_cells(self, table: Mapping[str, Sequence[str]], count: int, comma: bool = False) -> Checked:
        """Look at rows that came as text, and make of them what they would be as JSON.

        Args:
            table: The cells of each column, by its name; columns that are no features are ignored.
            count: How many rows there are.
            comma: Whether a comma in a number is a decimal point.
        """
        nothing = [""] * count
        columns = [(column, column.of_cells(table.get(column.name, nothing), comma)) for column in self._columns]
        return _gathered(count, columns, {})

    def missing(self, names: Collection[str]) -> list[Issue]:
        """What a table without a column for it cannot have right in any row."""
        return [
            Issue(pointer(column.name), f"There is no such column.{did_you_mean(column.name, names)}")
            for column in self._columns
            if column.feature.required and column.name not in names
        ]

    def _unknown(self, name: str) -> Issue:
        return Issue(pointer(name), f"Unknown input.{did_you_mean(name, self._names)}")


def pointer(name: str) -> str:
    """A name as a JSON pointer."""
    text = "/" + name.replace("~", "~0").replace("/", "~1")
    return text[:300].encode("utf-8", "replace").decode()


_Found = tuple[list[Any], list[tuple[int, str]]]


class _Column:
    """One feature, and how its values are looked at."""

    def __init__(self, feature: Feature, has_default: bool):
        self.name, self.feature, self.has_default = feature.name, feature, has_default
        self.fill = _MISSING if has_default and feature.default is None else feature.default
        kind = feature.type
        self._read: Callable[[Any], Any] = _READ[kind](feature)
        if kind is FeatureType.ARRAY and feature.default is not None:
            self.fill = self._read(feature.default)
        self._types = _PLAIN_TYPES.get(kind, frozenset())

    @property
    def row_bytes(self) -> int:
        if self.feature.type in (FeatureType.ARRAY, FeatureType.IMAGE):
            item_bytes = 1 if self.feature.type is FeatureType.IMAGE else 8
            return item_bytes * math.prod(1024 if length is None else length for length in self.feature.shape) * 4 // 3
        return 32

    def of_values(self, values: list[Any]) -> _Found:
        if self._types and set(map(type, values)) <= self._types and self._in_bounds(values):
            return values, []
        return self._one_by_one(values, self._read, lambda value: value is _MISSING or value is None)

    def of_cells(self, cells: Sequence[str], comma: bool) -> _Found:
        if self.feature.type is FeatureType.TEXT:
            if all(cells):
                return list(cells), []
            return self._one_by_one(cells, str, lambda cell: cell == "")
        if self.feature.type in (FeatureType.NUMBER, FeatureType.INTEGER):
            values = _numbers(cells)
            if values is not None and set(map(type, values)) <= self._types and self._in_bounds(values):
                return values, []
        return self._one_by_one(cells, lambda cell: self._parsed(cell, comma), says_nothing)

    def _parsed(self, cell: str, comma: bool) -> Any:
        """A cell as the value that it would be as JSON, checked."""
        text, kind = cell.strip(), self.feature.type
        if kind in (FeatureType.NUMBER, FeatureType.INTEGER):
            return self._read(number_of(text.replace(",", ".") if comma else text))
        if kind is FeatureType.BOOLEAN:
            return self._read(_TRUTH.get(text.lower(), text))
        if kind is FeatureType.CATEGORICAL:
            classes = self.feature.classes
            found = [one for one in classes if cell in _spelled(one)] or [
                one for one in classes if text in _spelled(one)
            ]
            return found[0] if found else self._read(text)
        if kind is FeatureType.ARRAY:
            try:
                return self._read(orjson.loads(text))
            except orjson.JSONDecodeError:
                raise ValueError("Must be a list of numbers, as JSON.") from None
        return self._read(text)

    def _in_bounds(self, values: list[Any]) -> bool:
        feature = self.feature
        if feature.classes:
            return set(values) <= set(feature.classes)
        if not values:
            return True
        above = feature.minimum is None or min(values) >= feature.minimum
        return above and (feature.maximum is None or max(values) <= feature.maximum)

    def _one_by_one(
        self, values: Sequence[Any], read: Callable[[Any], Any], is_nothing: Callable[[Any], bool]
    ) -> _Found:
        found, wrong = [], []
        for at, value in enumerate(values):
            if is_nothing(value):
                if self.feature.required:
                    wrong.append((at, _REQUIRED))
                found.append(self.fill)
                continue
            try:
                found.append(read(value))
            except ValueError as error:
                wrong.append((at, str(error)))
                found.append(None)
        return found, wrong


def _gathered(count: int, columns: Sequence[tuple[_Column, _Found]], issues: dict[int, list[Issue]]) -> Checked:
    for column, (_, wrong) in columns:
        for at, said in wrong:
            if not issues.get(at) or issues[at][0].pointer:  # a row that is no object lacks nothing else
                issues.setdefault(at, []).append(Issue(pointer(column.name), said))
    names = [column.name for column, _ in columns]
    rows = zip(*(values for _, (values, _) in columns), strict=True) if columns else ((),) * count
    records: list[Record | None] = [dict(zip(names, values, strict=True)) for values in rows]
    for column, (values, _) in columns:
        if column.has_default and any(value is _MISSING for value in values):
            for record in records:
                if record is not None and record[column.name] is _MISSING:
                    del record[column.name]
    for at in issues:
        records[at] = None
    return Checked(records, issues)


def says_nothing(cell: str) -> bool:
    """Whether a cell that is no text stands for nothing at all."""
    return not cell or (len(cell) < 8 and cell.strip().lower() in NOTHING)


def _numbers(cells: Sequence[str]) -> list[Any] | None:
    """Cells as numbers, if they are numbers as JSON writes them; all of them in one go."""
    try:
        values = orjson.loads(f"[{','.join(cells)}]")
    except orjson.JSONDecodeError:
        return None
    return values if len(values) == len(cells) else None


def number_of(text: str) -> Any:
    """A number from text, in any of the ways that people write one; the text itself if it is none."""
    try:
        return int(text) if "_" not in text and len(text) < 20 else text
    except ValueError:
        pass
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return text


def _spelled(one: Any) -> Collection[str]:
    """How a class may be written as text."""
    if isinstance(one, bool):
        return [spelling for spelling, truth in _TRUTH.items() if truth is one] + [str(one)]
    return (str(one), f"{one}.0") if isinstance(one, int) else (one,)


# How a value is read: each raises ValueError with a sentence.

_Read = Callable[[Any], Any]

_PLAIN_TYPES = {
    FeatureType.NUMBER: frozenset({int, float}),
    FeatureType.INTEGER: frozenset({int}),
    FeatureType.BOOLEAN: frozenset({bool}),
    FeatureType.TEXT: frozenset({str}),
    FeatureType.CATEGORICAL: frozenset({str}),
}


def _alone(value: Any) -> Any:
    """What is in a list of one, which is how clients in R write a single value."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _expected_number(feature: Feature) -> str:
    least, most = feature.minimum, feature.maximum
    what = "a whole number" if feature.type is FeatureType.INTEGER else "a number"
    if least is not None and most is not None:
        return f"Must be {what} from {least:g} to {most:g}."
    if least is not None:
        return f"Must be {what} of at least {least:g}."
    return f"Must be {what}." if most is None else f"Must be {what} of at most {most:g}."


def _read_number(feature: Feature) -> _Read:
    least = -math.inf if feature.minimum is None else feature.minimum
    most = math.inf if feature.maximum is None else feature.maximum
    whole, said = feature.type is FeatureType.INTEGER, _expected_number(feature)

    def read(value: Any) -> Any:
        value = _alone(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(said)
        if whole:
            if value != math.floor(value) or abs(value) >= 2**63:
                raise ValueError(said)
            value = int(value)
        if not least <= value <= most:
            raise ValueError(said)
        return value

    return read


def _read_boolean(_: Feature) -> _Read:
    def read(value: Any) -> bool:
        value = _alone(value)
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        raise ValueError("Must be true or false.")

    return read


def _read_text(_: Feature) -> _Read:
    def read(value: Any) -> str:
        value = _alone(value)
        if not isinstance(value, str):
            raise ValueError("Must be text.")
        return value

    return read


def _read_categorical(feature: Feature) -> _Read:
    classes = {(type(one), one): one for one in feature.classes}
    said = "Must be one of " + ", ".join(map(_shown, feature.classes[:30])) + (", …" * (len(feature.classes) > 30))

    def read(value: Any) -> Any:
        value = _alone(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str | bool | int) and (type(value), value) in classes:
            return value
        close = did_you_mean(value, [one for one in feature.classes if isinstance(one, str)]) if _is_word(value) else ""
        raise ValueError(f"{said}.{close}")

    return read


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 100


def _shown(one: Any) -> str:
    return str(one).lower() if isinstance(one, bool) else str(one)


def _read_array(feature: Feature) -> _Read:
    import numpy  # 100 ms that no start should wait for

    shape = feature.shape
    wanted = " × ".join("any" if length is None else str(length) for length in shape)
    said = f"Must be nested lists of numbers of the shape {wanted}." if shape else "Must be nested lists of numbers."

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError(said)
        try:
            array = numpy.asarray(value)
        except (ValueError, OverflowError, RecursionError):
            raise ValueError(f"{said[:-1]}, and its lists are not equally long.") from None
        if array.dtype.kind not in "iuf" and array.size:
            raise ValueError(said)
        if shape and (
            array.ndim != len(shape)
            or any(want not in (None, has) for want, has in zip(shape, array.shape, strict=True))
        ):
            has = " × ".join(map(str, array.shape))
            raise ValueError(f"{said[:-1]}, not {has}.")
        return marked(array.astype("int64" if array.dtype.kind in "iu" else "float64"))

    return read


def _read_image(feature: Feature) -> _Read:
    return lambda value: marked(decoded(_alone(value), feature.shape))


def marked(array: Any) -> dict[str, Any]:
    """An array as it crosses the worker line within a record."""
    data = base64.b64encode(array.tobytes()).decode()
    return {"$array": {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}}


_READ: Mapping[FeatureType, Callable[[Feature], _Read]] = {
    FeatureType.NUMBER: _read_number,
    FeatureType.INTEGER: _read_number,
    FeatureType.BOOLEAN: _read_boolean,
    FeatureType.TEXT: _read_text,
    FeatureType.CATEGORICAL: _read_categorical,
    FeatureType.ARRAY: _read_array,
    FeatureType.IMAGE: _read_image,
}
