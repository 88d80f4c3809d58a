"""CSV files as people write them: whatever their dialect, the same rows come out."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepaas_core import errors
from deepaas_core.web.tabular import CsvReader, CsvWriter

# What a charset, a terminal or a spreadsheet would have its own mind about is left out, line breaks in cells are not.
CELLS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"], include_characters="\n"), max_size=12)
NAMES = st.lists(st.from_regex(r"[a-zé][a-z .;,\t\"|]{0,6}[a-z]", fullmatch=True), min_size=1, max_size=5, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    names = draw(NAMES)
    row = st.lists(CELLS, min_size=len(names), max_size=len(names))
    return names, draw(st.lists(row, max_size=7))


def read_all(content: bytes, charset: str | None = None, portion: int = 3) -> tuple[list[str], list[list[str]]]:
    reader = CsvReader(io.BytesIO(content), charset)
    rows: list[list[str]] = []
    while (cells := reader.read(portion)) is not None:
        assert not cells.wrong
        rows += map(list, zip(*(cells.table[name] for name in reader.names), strict=True))
    return reader.names, rows


@given(
    table=tables(),
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    charset=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    last=st.booleans(),
)
def test_every_dialect_gives_the_same_rows(table, separator, line_end, quoting, charset, last):
    names, rows = table
    if len(names) == 1:  # nothing shows what divides columns
        quoting = csv.QUOTE_ALL
    file = io.StringIO(newline="")
    # Names are quoted, so that the separator is not a matter of guessing.
    csv.writer(file, delimiter=separator, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerow(names)
    csv.writer(file, delimiter=separator, lineterminator=line_end, quoting=quoting).writerows(rows)
    text = file.getvalue() if last else file.getvalue().removesuffix(line_end)

    told = charset if charset == "latin-1" else None
    assert read_all(text.encode(charset), told) == (names, rows)


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "latin-1", "utf-16", "shift-jis"]))
def test_no_bytes_at_all_break_the_reader(content, charset):
    try:
        reader = CsvReader(io.BytesIO(content), charset)
        while (cells := reader.read(2)) is not None:
            assert all(len(column) == cells.count for column in cells.table.values())
            assert all(at < cells.count for at in cells.wrong)
    except errors.InvalidRequest:
        pass


@given(tables(), st.sampled_from(",;\t"))
def test_what_is_written_can_be_read(table, separator):
    names, rows = table
    writer = CsvWriter([(name, (name,)) for name in names], separator)
    answers = [dict(zip(names, row, strict=True)) for row in rows]

    written = writer.head() + writer.rows(answers, {1: "no\nway"} if len(rows) > 1 else {})

    read = list(csv.reader(io.StringIO(written.decode(), newline=""), delimiter=separator))
    expected = [[*row, ""] for row in rows]
    if len(rows) > 1:
        expected[1] = [*[""] * len(names), "no\nway"]
    assert read == [[*names, "error"], *expected]


@pytest.mark.parametrize(
    "content, names, rows",
    [
        (b"sep=;\na;b\n1,5;2\n", ["a", "b"], [["1,5", "2"]]),
        (b"a,b,\n1,2,\n", ["a", "b", ""], [["1", "2"]]),
        (b"a,b\n1,2,\n\n3,4,,\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
        (b" a , b\n1, 2\n", ["a", "b"], [["1", " 2"]]),
        (b"a\r1\r2", ["a"], [["1"], ["2"]]),
        (b'a,b\n5" pipe,2\n', ["a", "b"], [['5" pipe', "2"]]),
        ("straße\nmüller\n".encode(), ["straße"], [["müller"]]),
    ],
)
def test_what_spreadsheets_and_people_add_does_no_harm(content: bytes, names: list[str], rows: list[list[str]]):
    reader = CsvReader(io.BytesIO(content))
    cells = reader.read(10)

    assert cells is not None
    assert reader.names == names
    assert list(map(list, zip(*cells.table.values(), strict=True))) == rows
    assert not cells.wrong


@pytest.mark.parametrize(
    "line, said",
    [
        (b"1", "This row has 1 cell, and there are 2 columns."),
        (b"1,2,3", "This row has 3 cells, and there are 2 columns."),
        (b'"1"x,2', "This is no row of a CSV file"),
        (b"\xff,2", "not in the charset"),
    ],
)
def test_a_row_that_is_none_spoils_no_other(line: bytes, said: str):
    cells = CsvReader(io.BytesIO(b"a,b\n1,2\n" + line + b"\n3,4\n")).read(10)

    assert cells is not None
    assert list(cells.wrong) == [1]
    assert said in cells.wrong[1].detail
    assert (cells.table["a"][0], cells.table["a"][2]) == ("1", "3")


@pytest.mark.parametrize("content", [b"", b"\n", b",,\n", b"a,a\n", b"\xff\xfe", b'"a\nb'])
def test_a_first_line_that_names_no_columns_is_refused(content: bytes):
    with pytest.raises(errors.InvalidRequest):
        CsvReader(io.BytesIO(content))
