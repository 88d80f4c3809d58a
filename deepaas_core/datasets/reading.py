"""Files of data, CSV or Parquet, as typed columns and batches of rows.

A CSV file says nothing of types. A column is what all of its values can be, and text where they cannot: ``007`` is
text, because a number would lose its zeros. An empty cell is a missing value.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

from deepaas_core.domain.dataset import ColumnType, UnfitKey, key_value, no_column
from deepaas_core.errors import DatasetUnusable

BATCH_ROWS = 20_000
_DELIMITERS = ",;\t|"
_MAX_SHOWN_CHARS = 40

Batch = Sequence[Sequence[Any]]


class File(Protocol):
    """A file of data."""

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        """All its columns."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Its rows, batch by batch, each as one sequence of values for each of these columns.

        Dates and points in time are ISO 8601 text.
        """
        ...


def open_file(name: str, path: Path, types: Mapping[str, ColumnType]) -> File:
    """Look into a file.

    Args:
        name: Of the dataset, for errors.
        path: The file; one that ends in ``.parquet`` or ``.pq`` is Parquet, any other CSV.
        types: What columns are, whatever their values look like.

    Raises:
        DatasetUnusable: It cannot be read.
    """
    if not path.is_file():
        raise DatasetUnusable(name, f"There is no file {path.name}.")
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    file: File = _Parquet(name, path, types) if is_parquet else _Csv(name, path, types)
    for column in types:
        if column not in file.columns:
            raise DatasetUnusable(name, f"{path.name} {no_column(column, file.columns)}")
    return file


class _Csv:
    """A CSV file with a header; comma, semicolon, tab or bar between the cells."""

    def __init__(self, name: str, path: Path, types: Mapping[str, ColumnType]):
        self._name, self._path = name, path
        with self._open() as file:
            header = file.readline()
            self._delimiter = max(_DELIMITERS, key=lambda character: _unquoted(header).count(character))
        self._names = self._header()
        guesses = [_Guess(types.get(column)) for column in self._names]
        for batch in self._texts(range(len(self._names))):
            for guess, values in zip(guesses, batch, strict=True):
                guess.see(values)
        self.columns = {column: guess.kind for column, guess in zip(self._names, guesses, strict=True)}

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        places = [self._names.index(column) for column in columns]
        for batch in self._texts(places):
            yield [self._typed(column, values) for column, values in zip(columns, batch, strict=True)]

    def _typed(self, column: str, values: Sequence[str]) -> list[Any]:
        convert = _FROM_TEXT[self.columns[column]]
        try:
            if convert is str:
                return [text or None for text in values]
            if convert in (int, float):
                return [None if text == "" else convert(text) for text in values]
            known = {text: None if text == "" else convert(text) for text in set(values)}  # they come again and again
            return [known[text] for text in values]
        except ValueError:
            wrong = next(text for text in values if text != "" and not _is(convert, text))
            shown, kind = wrong[:_MAX_SHOWN_CHARS], self.columns[column]
            raise DatasetUnusable(self._name, f"Column {column!r} is said to be {kind}, but has {shown!r}.") from None

    def _header(self) -> list[str]:
        with self._open() as file:
            names = [name.strip() for name in next(csv.reader(file, delimiter=self._delimiter), [])]
        if not names or not all(names):
            raise DatasetUnusable(self._name, f"{self._path.name} has no header that names every column.")
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise DatasetUnusable(self._name, f"{self._path.name} has two columns {twice[0]!r}.")
        return names

    def _texts(self, places: Sequence[int]) -> Iterator[Batch]:
        """The cells of the columns at these places."""
        with self._open() as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            next(reader)
            width, begins = len(self._names), reader.line_num + 1
            while rows := list(islice(reader, BATCH_ROWS)):
                if set(map(len, rows)) != {width}:
                    rows = self._checked(rows, begins)
                yield [[row[place] for row in rows] for place in places]
                begins = reader.line_num + 1

    def _checked(self, rows: Sequence[list[str]], begins: int) -> list[list[str]]:
        """Rows without the lines that are empty.

        Raises:
            DatasetUnusable: One of them has too many cells or too few.
        """
        width = len(self._names)
        for at, row in enumerate(rows):
            if row and len(row) != width:
                line = begins + at + sum(cell.count("\n") for before in rows[:at] for cell in before)
                text = f"{self._path.name}, line {line}: {len(row)} cells instead of {width}."
                raise DatasetUnusable(self._name, text)
        return [row for row in rows if row]

    @contextmanager
    def _open(self) -> Iterator[IO[str]]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError:
            raise DatasetUnusable(self._name, f"{self._path.name} is not UTF-8.") from None
        except csv.Error as error:
            raise DatasetUnusable(self._name, f"{self._path.name} is no CSV file: {error}.") from None
        except OSError as error:
            raise DatasetUnusable(self._name, f"{self._path.name} cannot be read: {error.strerror}.") from None


def _unquoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)


def _is(convert: Callable[[str], Any], text: str) -> bool:
    try:
        convert(text)
    except ValueError:
        return False
    return True


def _from_text(kind: ColumnType) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return key_value(kind, text)
        except UnfitKey as unfit:
            raise ValueError from unfit

    return convert


_FROM_TEXT: Mapping[ColumnType, Callable[[str], Any]] = {
    ColumnType.INTEGER: int,
    ColumnType.NUMBER: float,
    ColumnType.TEXT: str,
    **{kind: _from_text(kind) for kind in (ColumnType.BOOLEAN, ColumnType.DATE, ColumnType.DATETIME)},
}


class _Guess:
    """What a column can be, given the values that were seen."""

    def __init__(self, told: ColumnType | None):
        self._told = told
        self._possible = [] if told else list(_FITS)
        self._seen = False

    def see(self, values: Sequence[str]) -> None:
        """Take note of more values."""
        if not self._possible:
            return
        known = [text for text in values if text != ""]
        self._seen = self._seen or bool(known)
        if known:
            self._possible = self._fitting(known)

    def _fitting(self, values: Sequence[str]) -> list[ColumnType]:
        if self._possible[0] is ColumnType.INTEGER and _FITS[ColumnType.INTEGER](values):
            return [ColumnType.INTEGER, ColumnType.NUMBER]
        return [kind for kind in self._possible if kind is not ColumnType.INTEGER and _FITS[kind](values)]

    @property
    def kind(self) -> ColumnType:
        if self._told is not None:
            return self._told
        return self._possible[0] if self._possible and self._seen else ColumnType.TEXT


def _are_whole(values: Sequence[str]) -> bool:
    try:
        whole = list(map(int, values))
    except ValueError:
        return False
    return list(map(str, whole)) == values and min(whole) >= -(2**63) and max(whole) < 2**63


def _are_numbers(values: Sequence[str]) -> bool:
    joined = "\n".join(values)
    if not set(joined) <= set("0123456789+-.eE\n") or re.search(r"(?m)^[+-]?0\d", joined):
        return False
    try:
        numbers = list(map(float, values))
    except ValueError:
        return False
    return max(numbers) < float("inf") and min(numbers) > float("-inf")


def _are_booleans(values: Sequence[str]) -> bool:
    return {value.lower() for value in set(values)} <= {"true", "false"}


def _are_dates(values: Sequence[str]) -> bool:
    return all(_is(_FROM_TEXT[ColumnType.DATE], value) for value in set(values))


def _are_moments(values: Sequence[str]) -> bool:
    shaped = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", re.ASCII)
    return all(shaped.match(value) and _is(datetime.fromisoformat, value) for value in set(values))


#: In the order in which they are preferred.
_FITS: Mapping[ColumnType, Callable[[Sequence[str]], bool]] = {
    ColumnType.INTEGER: _are_whole,
    ColumnType.NUMBER: _are_numbers,
    ColumnType.BOOLEAN: _are_booleans,
    ColumnType.DATE: _are_dates,
    ColumnType.DATETIME: _are_moments,
}


class _Parquet:
    """A Parquet file of plain columns; what they are is in the file."""

    def __init__(self, name: str, path: Path, types: Mapping[str, ColumnType]):
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError:
            raise DatasetUnusable(
                name, "This server cannot read Parquet files: pip install 'deepaas-core[parquet]', or use CSV."
            ) from None
        self._name, self._arrow = name, pyarrow
        try:
            self._file = parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError):
            raise DatasetUnusable(name, f"{path.name} is no Parquet file.") from None
        self._types = types
        self.columns = {field.name: self._kind_of(field.type) for field in self._file.schema_arrow}
        self.columns |= types

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        for column in columns:
            if self.columns[column] is ColumnType.OTHER:
                kind = self._file.schema_arrow.field(column).type
                raise DatasetUnusable(self._name, f"Column {column!r} has the type {kind}, which cannot be looked up.")
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=list(columns)):
                yield [self._plain(column, batch.column(column)) for column in columns]
        except (self._arrow.ArrowException, OSError) as error:
            raise DatasetUnusable(self._name, "The Parquet file is damaged.") from error

    def _plain(self, column: str, values: Any) -> list[Any]:
        kind = self.columns[column]
        plain: list[Any] = values.to_pylist()
        if column in self._types:
            plain = [value.isoformat() if hasattr(value, "isoformat") else value for value in plain]
            convert = (lambda value: str(value)) if kind is ColumnType.TEXT else _from_text(kind)
            try:
                return [None if value is None else convert(value) for value in plain]
            except ValueError:
                raise DatasetUnusable(
                    self._name, f"Column {column!r} is said to be {kind}, and has values that are not."
                ) from None
        if kind is ColumnType.NUMBER:
            return [None if value is None else float(value) for value in plain]
        if kind in (ColumnType.DATE, ColumnType.DATETIME):
            return [None if value is None else value.isoformat() for value in plain]
        return plain

    def _kind_of(self, kind: Any) -> ColumnType:
        tests = self._arrow.types
        if tests.is_dictionary(kind):
            return self._kind_of(kind.value_type)
        for is_it, column_type in (
            (tests.is_boolean, ColumnType.BOOLEAN),
            (tests.is_integer, ColumnType.INTEGER),
            (tests.is_floating, ColumnType.NUMBER),
            (tests.is_decimal, ColumnType.NUMBER),
            (tests.is_string, ColumnType.TEXT),
            (tests.is_large_string, ColumnType.TEXT),
            (tests.is_date, ColumnType.DATE),
            (tests.is_timestamp, ColumnType.DATETIME),
        ):
            if is_it(kind):
                return column_type
        return ColumnType.OTHER
