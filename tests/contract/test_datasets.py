"""Every place that rows of datasets come from, by the same suite; and what is particular to each."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from deepaas_core.datasets.indexing import build, build_apart
from deepaas_core.datasets.opening import OpenDatasets
from deepaas_core.datasets.reading import open_file
from deepaas_core.domain.dataset import ColumnType, Dataset
from deepaas_core.domain.sql_query import SqlQuery, for_database
from deepaas_core.errors import (
    ConnectionUnavailable,
    DatasetUnusable,
    InvalidInput,
    QueryConflict,
    QueryFailed,
    QueryTimeout,
    SettingsError,
    StoreUnavailable,
)
from deepaas_core.settings import Connection

CSV = '''\
id,code,score,gold,born,seen,name
1,007,0.5,true,2024-05-01,2024-05-01T12:00:00,Ada
2,008,1e3,false,2024-05-02,2024-05-01T12:00:01,"O'Hara, ""Bo"""
3,009,,,,,
4,010,2,true,2024-05-04,2024-05-01T12:00:03,Zoë
4,011,3,true,2024-05-04,2024-05-01T12:00:03,Zoë
4,011,3,true,2024-05-04,2024-05-01T12:00:03,Zoë
'''
COLUMNS = ["id", "code", "score", "gold", "born", "seen", "name"]
ADA = [1, "007", 0.5, True, "2024-05-01", "2024-05-01T12:00:00", "Ada"]
CARDS = sa.Table(
    "cards",
    sa.MetaData(),
    sa.Column("id", sa.Integer),
    sa.Column("code", sa.String(8)),
    sa.Column("score", sa.Double),
    sa.Column("gold", sa.Boolean),
    sa.Column("born", sa.Date),
    sa.Column("seen", sa.DateTime),
    sa.Column("name", sa.Text),
)


async def fill(url: str) -> None:
    engine = create_async_engine(url)
    day, moment = date(2024, 5, 1), datetime(2024, 5, 1, 12)
    rows = [
        (1, "007", 0.5, True, day, moment, "Ada"),
        (2, "008", 1e3, False, day.replace(day=2), moment.replace(second=1), 'O\'Hara, "Bo"'),
        (3, "009", None, None, None, None, None),
        *[(4, code, 3.0, True, day.replace(day=4), moment.replace(second=3), "Zoë") for code in ("010", "011", "011")],
    ]
    async with engine.begin() as connection:
        await connection.run_sync(CARDS.metadata.create_all)
        await connection.execute(CARDS.insert(), [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    await engine.dispose()


class RowsContract:
    """What holds for all rows. Heirs give a fixture ``rows``."""

    async def test_columns_have_types(self, rows):
        assert rows.columns == {
            "id": ColumnType.INTEGER,
            "code": ColumnType.TEXT,
            "score": ColumnType.NUMBER,
            "gold": ColumnType.BOOLEAN,
            "born": ColumnType.DATE,
            "seen": ColumnType.DATETIME,
            "name": ColumnType.TEXT,
        }

    async def test_values_are_what_they_were(self, rows):
        [[row]] = await rows.find(["id"], [(1,)], COLUMNS)
        assert list(row) == ADA
        assert [type(value) for value in row] == [type(value) for value in ADA]

    async def test_what_is_missing_is_null(self, rows):
        [[row]] = await rows.find(["id"], [(3,)], COLUMNS)
        assert list(row) == [3, "009", None, None, None, None, None]

    @pytest.mark.parametrize("column, key", [each for each in zip(COLUMNS, ADA, strict=True) if each[1] is not True])
    async def test_any_column_can_be_the_key(self, rows, column, key):
        [[row]] = await rows.find([column], [(key,)], ["id"])
        assert list(row) == [1]

    async def test_truth_can_be_the_key(self, rows):
        [[row]] = await rows.find(["gold"], [(False,)], ["id"])
        assert list(row) == [2]

    async def test_nothing_is_found_for_a_key_that_no_row_has(self, rows):
        assert [list(found) for found in await rows.find(["id"], [(99,)], ["name"])] == [[]]
        assert [list(found) for found in await rows.find(["id"], [(2**40,)], ["name"])] == [[]]

    async def test_of_many_rows_enough_are_found(self, rows):
        [found] = await rows.find(["id"], [(4,)], ["id"])
        assert [list(row) for row in found] == [[4], [4]]

    async def test_a_key_can_be_of_several_columns(self, rows):
        one, none, many = await rows.find(["code", "id"], [("010", 4), ("010", 3), ("011", 4)], ["name", "id"])
        assert ([list(row) for row in one], list(none), len(many)) == ([["Zoë", 4]], [], 2)

    async def test_many_keys_are_answered_in_order_also_if_they_repeat(self, rows):
        found = await rows.find(["id"], [(at % 7,) for at in range(700)], ["code"])
        assert [len(rows) for rows in found] == [[0, 1, 1, 1, 2, 0, 0][at % 7] for at in range(700)]
        assert list(found[8][0]) == ["007"]
        assert list(found[9][0]) == ["008"]

    async def test_a_key_is_never_read_as_sql(self, rows):
        sly = "x' OR '1'='1"
        assert len((await rows.find(["name"], [(sly,), ("Ada",)], ["id"]))[0]) == 0
        assert [list(row) for row in (await rows.find(["name"], [('O\'Hara, "Bo"',)], ["id"]))[0]] == [[2]]

    async def test_there_may_be_nothing_to_fetch(self, rows):
        assert [len(found) for found in await rows.find(["id"], [(1,), (9,)], [])] == [1, 0]


class TestBundledRows(RowsContract):
    @pytest.fixture
    async def rows(self, tmp_path):
        (tmp_path / "cards.csv").write_text(CSV)
        dataset = Dataset("cards", "cards.csv")
        build(dataset, tmp_path / "cards.csv", tmp_path / "i", COLUMNS, [["id"], ["code", "id"]])
        datasets = OpenDatasets({})
        rows = await datasets.open_bundled(dataset, tmp_path / "i")
        yield rows
        await rows.close()


class TestBundledParquet(RowsContract):
    @pytest.fixture
    async def rows(self, tmp_path):
        csv = pytest.importorskip("pyarrow.csv")
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow as pa

        (tmp_path / "cards.csv").write_text(CSV)
        strings = csv.ConvertOptions(column_types={"code": pa.string()}, strings_can_be_null=True)
        parquet.write_table(csv.read_csv(tmp_path / "cards.csv", convert_options=strings), tmp_path / "cards.parquet")
        dataset = Dataset("cards", "cards.parquet")
        build(dataset, tmp_path / "cards.parquet", tmp_path / "i", COLUMNS, [["id"]])
        rows = await OpenDatasets({}).open_bundled(dataset, tmp_path / "i")
        yield rows
        await rows.close()


class TestReferencedSqlite(RowsContract):
    @pytest.fixture
    async def rows(self, tmp_path):
        url = f"sqlite+aiosqlite:///{tmp_path / 'there.db'}"
        await fill(url)
        datasets = OpenDatasets({"there": Connection(url)})
        yield await datasets.open_referenced(Dataset("cards", connection="there", table="cards"))
        await datasets.close()


class TestReferencedPostgresql(RowsContract):
    @pytest.fixture
    async def rows(self, cards_url):
        datasets = OpenDatasets({"there": Connection(cards_url)})
        yield await datasets.open_referenced(Dataset("cards", connection="there", table="public.cards"))
        await datasets.close()


@pytest.fixture(scope="module")
def cards_url(postgres):
    url = postgres.new_database("datasets")
    asyncio.run(fill(url))
    return url


# Files.


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_file_may_separate_its_cells_as_it_likes(tmp_path, delimiter):
    path = tmp_path / "f.csv"
    path.write_text(f'"a,b"{delimiter}c{delimiter}d\n1{delimiter}x{delimiter}2.5\n', encoding="utf-8-sig")
    file = open_file("f", path, {})
    assert file.columns == {"a,b": ColumnType.INTEGER, "c": ColumnType.TEXT, "d": ColumnType.NUMBER}
    assert list(file.batches(["d", "a,b"])) == [[[2.5], [1]]]


@pytest.mark.parametrize(
    "cells, kind",
    [
        (["1", "-2", ""], "integer"),
        (["1", "2.5"], "number"),
        (["1e5", ".5"], "number"),
        (["+5", "6"], "number"),
        (["007", "8"], "text"),
        (["00.5"], "text"),
        (["1_0"], "text"),
        ([" 1"], "text"),
        (["٣"], "text"),
        (["nan"], "text"),
        (["inf"], "text"),
        (["1e999"], "text"),
        (["12345678901234567890"], "number"),
        (["true", "False"], "boolean"),
        (["true", "1"], "text"),
        (["2024-05-01", "2024-02-30"], "text"),
        (["2024-05-01"], "date"),
        (["2024-05-01T10:00", "2024-05-01 10:00:00.5+02:00"], "datetime"),
        (["", ""], "text"),
    ],
)
def test_a_column_is_what_all_its_values_can_be(tmp_path, cells, kind):
    path = tmp_path / "f.csv"
    path.write_text("x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    assert open_file("f", path, {}).columns["x"] == kind


def test_a_column_is_what_it_is_said_to_be(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("x\n1\n\n2\n")
    file = open_file("f", path, {"x": ColumnType.TEXT})
    assert list(file.batches(["x"])) == [[["1", "2"]]]


@pytest.mark.parametrize(
    "name, content, types, said",
    [
        ("f.csv", b"", {}, "no header"),
        ("f.csv", b"a,,b\n", {}, "no header"),
        ("f.csv", b"a,a\n", {}, "two columns 'a'"),
        ("f.csv", b"a,b\n1,2\n3\n", {}, "line 3: 1 cells instead of 2"),
        ("f.csv", b"a\n\xff\n", {}, "not UTF-8"),
        ("f.csv", b"a\nx\n", {"a": ColumnType.INTEGER}, "said to be integer, but has 'x'"),
        ("f.csv", b"a\nx\n", {"b": ColumnType.INTEGER}, "no column 'b'; there are: a"),
        ("f.csv", b"b\nx\n", {}, "no column 'a'"),
        ("g.csv", None, {}, "There is no file g.csv"),
        ("f.parquet", b"PAR1", {}, "no Parquet file"),
    ],
)
async def test_what_is_wrong_with_a_file_is_said_by_the_process_that_reads_it(tmp_path, name, content, types, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetUnusable, match=said):
        await build_apart(Dataset("d", name, types=types), tmp_path / name, tmp_path / "i", ["a"], [["a"]])
    assert not [path for path in tmp_path.iterdir() if path.name != name]


async def test_an_index_is_made_by_another_process(tmp_path):
    (tmp_path / "f.csv").write_text("a,b\n1,x\n")
    dataset, datasets = Dataset("d", "f.csv"), OpenDatasets({})
    await datasets.index(dataset, tmp_path, tmp_path / "i", ["a", "b"], [["a"]])
    rows = await datasets.open_bundled(dataset, tmp_path / "i")
    assert list((await rows.find(["a"], [(1,)], ["b"]))[0][0]) == ["x"]
    await rows.close()


@pytest.mark.parametrize("content", [None, b"", b"SQLite format 3\0 and then nonsense" * 100])
async def test_an_index_that_cannot_be_read_is_the_servers_trouble(tmp_path, content):
    if content is not None:
        (tmp_path / "i").write_bytes(content)
    with pytest.raises(StoreUnavailable, match="'d'"):
        await OpenDatasets({}).open_bundled(Dataset("d", "f.csv"), tmp_path / "i")


# Queries.


def a_query(text: str, parameters: dict | None = None, **options) -> SqlQuery:
    return SqlQuery.from_options({"connection": "there", "query": text, "parameters": parameters or {}, **options})


class QueryContract:
    """What holds for the queries of every database. Heirs give fixtures ``url`` and ``datasets``."""

    async def run(self, datasets, query: SqlQuery, **values):
        return await datasets.query(query, for_database(query.parameters, query.parameters.load(values)))

    async def test_rows_come_with_the_names_of_columns(self, datasets):
        query = a_query(
            "SELECT name, score FROM cards WHERE id >= :low AND name <> :not ORDER BY id",
            {"low": {"type": "integer"}, "not": {}},
        )
        table = await self.run(datasets, query, low=1, **{"not": "Zoë"})
        assert table.columns == ("name", "score")
        assert table.rows == [["Ada", 0.5], ['O\'Hara, "Bo"', 1000.0]]
        assert not table.truncated

    @pytest.mark.parametrize("sly", ["' OR 1=1 --", "'; DROP TABLE cards; --", ":id", "\\' OR 1=1", "%s %(x)s ?"])
    async def test_a_value_is_never_read_as_sql(self, datasets, sly):
        table = await self.run(datasets, a_query("SELECT id FROM cards WHERE name = :n", {"n": {}}), n=sly)
        assert table.rows == []
        assert (await self.run(datasets, a_query("SELECT :n AS n", {"n": {}}), n=sly)).rows == [[sly]]

    async def test_colons_and_percents_in_quotes_stay(self, datasets):
        query = a_query("SELECT ':n 12:30 50% \\:x' AS a, :n AS b", {"n": {"type": "integer"}})
        assert (await self.run(datasets, query, n=1)).rows == [[":n 12:30 50% \\:x", 1]]

    async def test_question_marks_take_the_parameters_in_order(self, datasets):
        query = a_query(
            "SELECT id FROM cards WHERE id = ? AND name = ?", {"id": {"type": "integer"}, "name": {"default": "Ada"}}
        )
        assert (await self.run(datasets, query, id=1)).rows == [[1]]

    async def test_of_several_statements_the_last_rows_are_answered(self, datasets):
        assert (await self.run(datasets, a_query("SELECT 1 AS a; SELECT 2 AS b"))).rows == [[2]]

    async def test_no_more_rows_than_allowed_are_answered(self, datasets):
        table = await self.run(datasets, a_query("SELECT id FROM cards ORDER BY id", max_rows=2))
        assert (table.rows, table.truncated) == ([[1], [2]], True)

    async def test_a_query_that_may_only_read_changes_nothing(self, datasets):
        with pytest.raises(QueryFailed, match="may only read"):
            await self.run(datasets, a_query("DELETE FROM cards"))
        assert (await self.run(datasets, a_query("SELECT count(*) FROM cards"))).rows == [[6]]

    async def test_changes_need_the_operators_word(self, datasets):
        with pytest.raises(QueryFailed, match="allow no changes"):
            await self.run(datasets, a_query("DELETE FROM cards", read_only=False))

    async def test_changes_are_made_and_counted(self, url):
        datasets = OpenDatasets({"there": Connection(url, writable=True)})
        made = a_query("CREATE TABLE notes (id integer PRIMARY KEY, text text)", read_only=False)
        await self.run(datasets, made)
        insert = a_query("INSERT INTO notes VALUES (1, :t), (2, :t)", {"t": {}}, read_only=False)
        assert (await self.run(datasets, insert, t="x")).updated_rows == 2
        with pytest.raises(QueryConflict):
            await self.run(datasets, insert, t="y")
        assert (await self.run(datasets, a_query("SELECT text FROM notes"))).rows == [["x"], ["x"]]
        with pytest.raises(QueryFailed, match="may only read"):
            await self.run(datasets, a_query("DELETE FROM notes"))
        await datasets.close()

    @pytest.mark.parametrize("text", ["SELEC 1", "SELECT nothing FROM cards", "SELECT * FROM nowhere"])
    async def test_an_authors_error_is_the_services_and_tells_no_more(self, datasets, text):
        with pytest.raises(QueryFailed) as caught:
            await self.run(datasets, a_query(text))
        assert "nowhere" not in str(caught.value)

    async def test_a_query_that_takes_too_long_is_stopped(self, datasets):
        with pytest.raises(QueryTimeout):
            await self.run(datasets, a_query(self.ENDLESS, timeout_s=0.2))
        assert (await self.run(datasets, a_query("SELECT 1 AS a"))).rows == [[1]]

    async def test_an_unknown_connection_is_told(self):
        with pytest.raises(ConnectionUnavailable, match="no connection of this name"):
            await self.run(OpenDatasets({}), a_query("SELECT 1"))


class TestQueriesOnSqlite(QueryContract):
    ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    @pytest.fixture
    async def url(self, tmp_path):
        url = f"sqlite+aiosqlite:///{tmp_path / 'there.db'}"
        await fill(url)
        return url

    @pytest.fixture
    async def datasets(self, url):
        datasets = OpenDatasets({"there": Connection(url)})
        yield datasets
        await datasets.close()

    async def test_bytes_become_base64(self, datasets):
        assert (await self.run(datasets, a_query("SELECT x'00ff' AS a"))).rows == [["AP8="]]

    async def test_a_stopped_query_no_longer_runs(self, tmp_path, datasets):
        with pytest.raises(QueryTimeout):
            await self.run(datasets, a_query(self.ENDLESS, timeout_s=0.1))
        with closing(sqlite3.connect(tmp_path / "there.db")) as other:
            other.execute("BEGIN EXCLUSIVE")  # nobody reads any more


class TestQueriesOnPostgresql(QueryContract):
    ENDLESS = "SELECT pg_sleep(60)"

    @pytest.fixture
    async def url(self, postgres, request):
        url = postgres.new_database(f"queries{abs(hash(request.node.name))}")
        await fill(url)
        return url

    @pytest.fixture
    async def datasets(self, cards_url):
        datasets = OpenDatasets({"there": Connection(cards_url)})
        yield datasets
        await datasets.close()

    async def test_values_have_types_of_their_own(self, datasets):
        query = a_query(
            "SELECT :i AS i, :n AS n, :b AS b, :d AS d, :at AS at, :m AS m, :u AS u, :nothing AS nothing, "
            "'\\x00ff'::bytea AS bytes, ARRAY[1, 2] AS list, '{\"a\": 1}'::jsonb AS json, 1.50::numeric AS numeric, "
            "'NaN'::float8 AS nan, interval '1 minute' AS span",
            {
                "i": {"type": "integer"},
                "n": {"type": "number"},
                "b": {"type": "boolean"},
                "d": {"type": "date"},
                "at": {"type": "datetime"},
                "m": {"type": "decimal"},
                "u": {"type": "uuid"},
                "nothing": {"type": "integer", "required": False},
            },
        )
        u = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
        table = await self.run(
            datasets, query, i=2**40, n=1, b=True, d="2024-05-01", at="2024-05-01T12:00:00Z", m="1.5", u=u
        )
        at = datetime(2024, 5, 1, 12, tzinfo=UTC)
        row = dict(zip(table.columns, table.rows[0], strict=True))
        assert datetime.fromisoformat(row.pop("at")) == at
        assert row == {
            "i": 2**40,
            "n": 1.0,
            "b": True,
            "d": "2024-05-01",
            "m": float(Decimal("1.5")),
            "u": u,
            "nothing": None,
            "bytes": "AP8=",
            "list": [1, 2],
            "json": {"a": 1},
            "numeric": 1.5,
            "nan": None,
            "span": 60.0,
        }

    async def test_a_value_that_the_database_cannot_use_is_the_callers(self, datasets):
        query = a_query("SELECT CAST(:t AS integer)", {"t": {}})
        with pytest.raises(InvalidInput, match="22P02"):
            await self.run(datasets, query, t="x")

    async def test_a_stopped_query_no_longer_runs(self, datasets):
        with pytest.raises(QueryTimeout):
            await self.run(datasets, a_query("SELECT pg_sleep(61)", timeout_s=0.2))
        still = a_query(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(61%' "
            "AND pid <> pg_backend_pid()"
        )
        async with asyncio.timeout(10):
            while (await self.run(datasets, still)).rows != [[0]]:
                await asyncio.sleep(0.05)

    async def test_a_database_that_goes_away_and_comes_back_is_found_again(self, datasets, postgres):
        rows = await datasets.open_referenced(Dataset("cards", connection="there", table="cards"))
        await asyncio.gather(*(rows.find(["id"], [(1,)], ["name"]) for _ in range(5)))
        query = a_query("SELECT 1 AS a")
        postgres.stop(signal.SIGQUIT)
        try:
            with pytest.raises(ConnectionUnavailable):
                await rows.find(["id"], [(1,)], ["name"])
            with pytest.raises(ConnectionUnavailable) as caught:
                await self.run(datasets, query)
            assert str(postgres.port) not in str(caught.value)
        finally:
            postgres.start()
        assert list((await rows.find(["id"], [(1,)], ["name"]))[0][0]) == ["Ada"]
        postgres.stop(signal.SIGQUIT)
        postgres.start()
        found = await asyncio.gather(*(rows.find(["id"], [(1,)], ["name"]) for _ in range(5)))
        assert [list(each[0][0]) for each in found] == [["Ada"]] * 5
        assert (await self.run(datasets, query)).rows == [[1]]


@pytest.mark.parametrize("url", ["nonsense", "postgresql://a@b/c", "oracle+nothing://x"])
async def test_a_url_that_is_none_is_an_error_of_the_settings(url):
    with pytest.raises(SettingsError, match=r"connection\.there\.url"):
        OpenDatasets({"there": Connection(url)})


async def test_a_table_that_is_not_there_is_told(tmp_path):
    datasets = OpenDatasets({"there": Connection(f"sqlite+aiosqlite:///{tmp_path / 'there.db'}")})
    with pytest.raises(DatasetUnusable, match="no table 'nowhere'"):
        await datasets.open_referenced(Dataset("cards", connection="there", table="nowhere"))
    await datasets.close()


def test_paths_with_odd_names_can_be_indexed(tmp_path):
    path = Path(tmp_path / "odd ?#%20.csv")
    path.write_text("a\n1\n")
    build(Dataset("d", path.name), path, tmp_path / "i ?#.db", ["a"], [["a"]])
    assert asyncio.run(OpenDatasets({}).open_bundled(Dataset("d"), tmp_path / "i ?#.db")).columns == {"a": "integer"}
