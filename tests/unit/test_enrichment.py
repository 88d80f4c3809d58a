"""What a record's key is, and what becomes of a record with the rows that were found."""

from __future__ import annotations

import pytest

from deepaas_core.domain.dataset import ColumnType, UnfitKey, key_value
from deepaas_core.domain.enrichment import Enriched, Enrichment, Ignored, Reaction, Trouble
from deepaas_core.errors import InvalidInput, SeveralMatches

CARDS = Enrichment("cards", {"card": "card_id", "day": "on"}, {"score": "fico", "age": "card_age"})
TYPES = {"card_id": ColumnType.TEXT, "on": ColumnType.DATE, "fico": ColumnType.INTEGER, "card_age": ColumnType.NUMBER}


@pytest.mark.parametrize(
    "kind, value, key",
    [
        ("integer", 5, 5),
        ("integer", 5.0, 5),
        ("integer", "-5", -5),
        ("number", "5", 5.0),
        ("number", 5, 5.0),
        ("number", "1e3", 1000.0),
        ("text", "a", "a"),
        ("text", "", ""),
        ("text", 7, "7"),
        ("boolean", True, True),
        ("boolean", "FALSE", False),
        ("date", "2024-05-01", "2024-05-01"),
        ("datetime", "2024-05-01 12:00", "2024-05-01T12:00:00"),
    ],
)
def test_a_value_is_taken_as_the_column_has_it(kind, value, key):
    found = key_value(ColumnType(kind), value)
    assert (found, type(found)) == (key, type(key))


@pytest.mark.parametrize(
    "kind, value",
    [
        ("integer", 5.5),
        ("integer", True),
        ("integer", "5x"),
        ("integer", "٥"),
        ("integer", 2**63),
        ("integer", "9" * 19),
        ("integer", [1]),
        ("number", "nan"),
        ("number", float("inf")),
        ("number", 10**400),
        ("number", "1_0"),
        ("text", True),
        ("text", 1.5),
        ("text", {"a": 1}),
        ("boolean", 1),
        ("date", "2024-02-30"),
        ("date", "20240501"),
        ("datetime", 5),
        ("other", "x"),
    ],
)
def test_a_value_that_no_cell_can_have_is_refused(kind, value):
    with pytest.raises(UnfitKey):
        key_value(ColumnType(kind), value)


def test_the_key_comes_in_the_order_of_the_enrichment():
    assert CARDS.key_of({"day": "2024-05-01", "card": 12, "x": 1}, TYPES) == ("12", "2024-05-01")


@pytest.mark.parametrize("record", [{"card": "a"}, {"card": "a", "day": None}, {"card": "a", "day": ""}])
def test_a_key_without_one_of_its_parts_is_missing(record):
    assert CARDS.key_of(record, TYPES) is None


def test_every_unfit_part_of_a_key_is_named():
    with pytest.raises(InvalidInput) as caught:
        CARDS.key_of({"card": True, "day": "May"}, TYPES)
    assert [issue.pointer for issue in caught.value.issues] == ["/card", "/day"]


def test_the_one_row_joins_the_record_and_replaces_what_the_caller_said():
    enriched = Enriched.of([{"card": "a", "score": 999}])
    enriched.join(0, CARDS, [(700, 3.5)])
    assert enriched.records == [{"card": "a", "score": 700, "age": 3.5}]
    assert enriched.shown == [{}]


def test_what_was_fetched_is_shown_if_the_enrichment_says_so():
    enriched = Enriched.of([{"card": "a"}])
    enriched.join(0, Enrichment("cards", {"card": "card_id"}, {"score": "fico"}, return_enriched=True), [(700,)])
    assert enriched.shown == [{"score": 700}]


@pytest.mark.parametrize("rows, trouble", [([], Trouble.NO_MATCH), ([(1, 2), (3, 4)], Trouble.SEVERAL_MATCHES)])
def test_a_record_is_left_out_with_a_reason(rows, trouble):
    lenient = Enrichment(
        "cards", CARDS.keys, CARDS.columns, on_no_match=Reaction.IGNORE, on_several_matches=Reaction.IGNORE
    )
    enriched = Enriched.of([{"card": "a"}])
    enriched.join(0, lenient, rows)
    assert enriched.records == [None]
    assert enriched.ignored == {0: Ignored(trouble, "cards")}
    assert not enriched.refused


@pytest.mark.parametrize(
    "trouble, kind",
    [(Trouble.NO_MATCH, InvalidInput), (Trouble.SEVERAL_MATCHES, SeveralMatches), (Trouble.KEY_MISSING, InvalidInput)],
)
def test_a_record_is_refused_by_default(trouble, kind):
    assert isinstance(CARDS.verdict(trouble, {"card": "a"}), kind)


def test_a_missing_key_is_named():
    verdict = CARDS.verdict(Trouble.KEY_MISSING, {"card": "a"})
    assert isinstance(verdict, InvalidInput)
    assert [issue.pointer for issue in verdict.issues] == ["/day"]
