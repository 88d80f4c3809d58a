"""Queries as their authors write them, and values on their way to a database and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from deepaas_core.domain.sql_query import SqlQuery, Statement, for_database, from_database, read_statements
from deepaas_core.errors import InvalidInput


def test_parameters_are_cut_out_of_the_text():
    [statement] = read_statements("SELECT * FROM t WHERE a = :a AND b > :b", ["a", "b"])
    assert statement == Statement(("SELECT * FROM t WHERE a = ", " AND b > ", ""), ("a", "b"))


def test_a_parameter_may_be_used_twice():
    [statement] = read_statements("SELECT :a + :a", ["a"])
    assert statement.names == ("a", "a")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ':a ; ? it''s :a'",
        'SELECT ":a;?" FROM t',
        "SELECT 1 -- :a ; ?\n",
        "SELECT 1 /* :a ; ? */",
        "SELECT $$ :a ; ? $$",
        "SELECT $tag$ :a ; $$ ? $tag$",
        "SELECT a::integer FROM t",
        "SELECT '12:30'",
    ],
)
def test_what_is_quoted_or_said_aside_is_no_parameter(text):
    assert read_statements(text, []) == (Statement((text,)),)


def test_question_marks_stand_for_the_listed_parameters_in_order():
    first, last = read_statements("CREATE TEMP TABLE x (a int); SELECT * FROM x WHERE a = ? AND b = ?", ["p", "q"])
    assert first.names == ()
    assert last.names == ("p", "q")


def test_a_question_mark_beside_named_parameters_is_the_databases_own():
    [statement] = read_statements("SELECT j ? 'k' FROM t WHERE a = :a", ["a"])
    assert statement.texts[0] == "SELECT j ? 'k' FROM t WHERE a = "


def test_nothing_between_semicolons_is_no_statement():
    assert len(read_statements("SELECT 1;;\n -- done\n; SELECT 2;\n", [])) == 2


@pytest.mark.parametrize(
    "text, parameters, said",
    [
        ("SELECT :b", ["a"], ":b"),
        ("SELECT ?, ?", ["a"], "more \\?"),
        ("SELECT 1", ["a"], "does not use the parameter 'a'"),
        ("SELECT ?", ["a", "b"], "does not use the parameter 'b'"),
        (" ; -- nothing", [], "no statement"),
    ],
)
def test_parameters_and_placeholders_must_fit(text, parameters, said):
    with pytest.raises(ValueError, match=said):
        read_statements(text, parameters)


def a_query(**parameters) -> SqlQuery:
    text = "SELECT " + ", ".join(f":{name}" for name in parameters)
    return SqlQuery.from_options({"connection": "c", "query": text, "parameters": parameters})


def test_values_are_checked_and_get_the_types_of_databases():
    query = a_query(
        i={"type": "integer"},
        n={"type": "number"},
        t={},
        b={"type": "boolean"},
        d={"type": "date"},
        at={"type": "datetime"},
        m={"type": "decimal"},
        u={"type": "uuid"},
        o={"type": "integer", "required": False},
        e={"type": "integer", "default": 7},
    )
    u = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    loaded = query.parameters.load(
        {"i": "3", "n": 2, "t": "x", "b": True, "d": "2024-05-01", "at": "2024-05-01T12:00:00Z", "m": "1.10", "u": u}
    )
    assert for_database(query.parameters, loaded) == {
        "i": 3,
        "n": 2.0,
        "t": "x",
        "b": True,
        "d": date(2024, 5, 1),
        "at": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "m": Decimal("1.10"),
        "u": UUID(u),
        "o": None,
        "e": 7,
    }


@pytest.mark.parametrize("values", [{}, {"i": "three"}, {"i": 2**63}, {"i": 1, "j": 2}, {"i": None}, {"i": [1]}])
def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(InvalidInput):
        a_query(i={"type": "integer"}).parameters.load(values)


@pytest.mark.parametrize(
    "value, said",
    [
        (None, None),
        (2**62, 2**62),
        (2**70, 2.0**70),
        ({"a": 10**30}, {"a": 1e30}),
        (float("nan"), None),
        (float("inf"), None),
        (Decimal("12"), 12),
        (Decimal("12.5"), 12.5),
        (Decimal("NaN"), None),
        (b"\x00\xff", "AP8="),
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 12, tzinfo=UTC), "2024-05-01T12:00:00+00:00"),
        (timedelta(minutes=1), 60.0),
        ({"a": [Decimal(1)]}, {"a": [1]}),
        ((1, "x"), [1, "x"]),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_values_of_databases_become_json(value, said):
    assert from_database(value) == said
