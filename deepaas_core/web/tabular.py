"""Tables of rows: read from CSV and Parquet files a few rows at a time, and written as CSV.

What people send as CSV differs in separators, quotes, line ends and charsets; all of that is found out from the file.
"""

from __future__ import annotations

import codecs
import csv
import datetime
import decimal
import io
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from deepaas_core import errors
from deepaas_core.errors import Issue

CSV = "text/csv"
CSV_TYPES = (CSV, "text/tab-separated-values", "application/csv", "text/x-csv", "text/comma-separated-values")
PARQUET_TYPES = ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet")
#: Longest line, and longest cell; pictures travel in cells, too.
MAX_LINE_CHARS = 32 * 2**20
#: What of a table is in memory at once, roughly.
MAX_PORTION_CHARS = 8 * 2**20
MAX_COLUMNS = 10_000
MAX_GROUP_BYTES = 2**29
_SEPARATORS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Cells:
    """Some rows of text.

    Attributes:
        table: The cells of each column, by its name.
        count: How many rows there are.
        wrong: What is wrong with those that could not be read, by position; their cells are empty.
    """

    table: Mapping[str, Sequence[str]]
    count: int
    wrong: Mapping[int, Issue] = field(default_factory=dict)


class CsvReader:
    """Reads a CSV file.

    Args:
        file: Its bytes.
        charset: Which it is said to be in; None is UTF-8, or what its first bytes tell.
        tabs: Whether cells are surely separated by tabs.

    Attributes:
        names: The columns.
        comma: Whether a comma in a number is a decimal point, as it is where cells are separated by ``;``.

    Raises:
        MalformedBody: Its first line cannot be used.
    """

    def __init__(self, file: BinaryIO, charset: str | None = None, tabs: bool = False):
        self._text = text = _text(file, charset)  # kept, since it closes the file when it goes
        first = _line(text)
        if found := re.fullmatch(r"sep=(.)\r?\n?", first, re.IGNORECASE):  # what Excel is told
            self.separator, first = found[1], _line(text)
        else:
            self.separator = "\t" if tabs else _separator(first)
        self.comma = self.separator == ";"
        csv.field_size_limit(MAX_LINE_CHARS)
        self._rows = csv.reader(_lines(first, text), delimiter=self.separator, strict=True)
        self.names = self._header()

    def read(self, count: int) -> Cells | None:
        """The next rows, so many at most; None after the last."""
        rows: list[list[str]] = []
        wrong: dict[int, Issue] = {}
        size, width = 0, len(self.names)
        while len(rows) < count and size < MAX_PORTION_CHARS:
            try:
                row = next(self._rows)
            except StopIteration:
                break
            except csv.Error as error:
                wrong[len(rows)] = Issue("", f"This is no row of a CSV file: {error}.")
                row = [""] * width
            if not row:
                continue
            if len(row) != width:
                row = self._fitted(row, wrong, len(rows))
            size += sum(map(len, row))
            rows.append(row)
        if not rows:
            return None
        columns = list(zip(*rows, strict=True))
        self._check_charset(columns, rows, wrong)
        table = {name: cells for name, cells in zip(self.names, columns, strict=True) if name}
        return Cells(table, len(rows), wrong)

    def _header(self) -> list[str]:
        try:
            names = [name.strip() for name in next(self._rows, [])]
        except csv.Error as error:
            raise errors.MalformedBody(f"The first line of the CSV file cannot be read: {error}.") from None
        if not any(names):
            raise errors.MalformedBody("The CSV file has no first line with the names of its columns.")
        if len(names) > MAX_COLUMNS:
            raise errors.MalformedBody(f"The CSV file has more than {MAX_COLUMNS} columns.")
        if not all(map(_is_clean, names)):
            raise errors.MalformedBody("The CSV file is not in the charset it claims to be in, or not in UTF-8.")
        twice = [name for at, name in enumerate(names) if name and name in names[:at]]
        if twice:
            raise errors.InvalidInput([Issue("", f"Two columns are called {twice[0]!r}.")])
        return names

    def _fitted(self, row: list[str], wrong: dict[int, Issue], at: int) -> list[str]:
        width = len(self.names)
        if len(row) > width and not any(row[width:]):  # some write a separator at the end of each line
            return row[:width]
        cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
        wrong[at] = Issue("", f"This row has {cells}, and there are {width} columns.")
        return [""] * width

    def _check_charset(
        self, columns: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], wrong: dict[int, Issue]
    ) -> None:
        if all(_is_clean("".join(cells)) for cells in columns):
            return
        for at, row in enumerate(rows):
            if not _is_clean("".join(row)):
                wrong[at] = Issue("", "This row is not in the charset that the file claims to be in, or not in UTF-8.")


def _text(file: BinaryIO, charset: str | None) -> io.TextIOWrapper:
    start = file.read(4)
    file.seek(0)
    found = next((name for mark, name in _BOMS if start.startswith(mark)), None)
    try:
        codecs.lookup(found or charset or "utf-8")
        return io.TextIOWrapper(file, found or charset or "utf-8", errors="surrogateescape", newline="")
    except (LookupError, ValueError):
        raise errors.UnsupportedMedia(f"There is no charset {charset!r}.") from None


def _line(text: io.TextIOWrapper) -> str:
    try:
        line = text.readline(MAX_LINE_CHARS)
    except UnicodeError:
        raise errors.MalformedBody("The CSV file is not in the charset it claims to be in.") from None
    if len(line) >= MAX_LINE_CHARS:
        raise errors.MalformedBody(f"A line of the CSV file has more than {MAX_LINE_CHARS} characters.")
    return line


def _lines(first: str, text: io.TextIOWrapper) -> Iterator[str]:
    line = first
    while line:
        yield line.replace("\0", "\ufffd")
        line = _line(text)


def _separator(line: str) -> str:
    """What separates the names in the first line."""
    outside = _QUOTED.sub("", line)
    return max(_SEPARATORS, key=outside.count)


def _is_clean(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class ParquetReader:
    """Reads a Parquet file.

    Args:
        file: Its bytes.
        wanted: Columns to read; the others are left alone. None reads all.

    Attributes:
        names: The columns.

    Raises:
        MalformedBody: It is none.
        UnsupportedMedia: This server cannot read them.
    """

    def __init__(self, file: BinaryIO, wanted: Collection[str] | None):
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise errors.UnsupportedMedia(
                "This server cannot read Parquet: pyarrow is missing (deepaas-core[parquet])."
            ) from None
        self._broken = (pyarrow.ArrowException, OSError, ValueError)
        try:
            self._file = pyarrow.parquet.ParquetFile(file)
            about = self._file.metadata
            self.names = list(self._file.schema_arrow.names)
            sizes = [about.row_group(at).total_byte_size for at in range(about.num_row_groups)]
        except self._broken:
            raise errors.MalformedBody("The body is no Parquet file.") from None
        if max(sizes, default=0) > MAX_GROUP_BYTES:
            raise errors.PayloadTooLarge(MAX_GROUP_BYTES)
        self._columns = [name for name in self.names if wanted is None or name in wanted]
        self._batches: Iterator[Any] | None = None
        self._rows: list[dict[str, Any]] = []

    def read(self, count: int) -> list[dict[str, Any]] | None:
        """The next rows, so many at most, as JSON would have them; None after the last.

        Raises:
            MalformedBody: The file is broken.
        """
        try:
            if self._batches is None:
                self._batches = self._file.iter_batches(batch_size=500, columns=self._columns)
            while not self._rows:
                batch = next(self._batches, None)
                if batch is None:
                    return None
                self._rows = [{name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()]
        except self._broken:
            raise errors.MalformedBody("The Parquet file is broken.") from None
        rows, self._rows = self._rows[:count], self._rows[count:]
        return rows


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


class CsvWriter:
    """Writes answers as CSV: a column for each output, those of probabilities, and ``error``.

    Args:
        columns: What to write of an answer: the title of a column, and the names that lead to its value.
        separator: What separates cells.
    """

    def __init__(self, columns: Sequence[tuple[str, Sequence[str]]], separator: str):
        self._columns = columns
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer, delimiter=separator, lineterminator="\n")

    def head(self) -> bytes:
        """The first line."""
        self._writer.writerow([*(title for title, _ in self._columns), "error"])
        return self._taken()

    def rows(self, answers: Sequence[Any], wrong: Mapping[int, str]) -> bytes:
        """A line for each answer; an error in its place where there is none."""
        nothing = [""] * len(self._columns)
        for at, answer in enumerate(answers):
            if at in wrong:
                self._writer.writerow([*nothing, wrong[at]])
            else:
                self._writer.writerow([*(_cell(_found(answer, names)) for _, names in self._columns), ""])
        return self._taken()

    def _taken(self) -> bytes:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode("utf-8", "replace")


def _found(answer: Any, names: Sequence[str]) -> Any:
    for name in names:
        if not isinstance(answer, Mapping) or name not in answer:
            return None
        answer = answer[name]
    return answer


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
