"""What a ``service.toml`` says of datasets, enrichments, lookups and queries."""

from __future__ import annotations

import pytest

from deepaas_core.domain.dataset import ColumnType, Dataset
from deepaas_core.domain.enrichment import Enrichment, Reaction
from deepaas_core.domain.service import Service
from deepaas_core.domain.sql_query import SqlQuery
from deepaas_core.errors import DefinitionRefused
from deepaas_core.publishing.definition import read

DATA = """\
name = "fraud"

[datasets.cards]
file = "data/cards.csv"
types = { card_id = "text" }

[datasets.merchants]
connection = "warehouse"
table = "public.merchants"

[endpoints.cards]
kind = "lookup"

[[endpoints.cards.enrichments]]
dataset = "cards"
keys = ["card_id"]
columns = { score = "card_fico_score" }
on_no_match = "ignore"
return_enriched = true

[endpoints.recent]
kind = "sql"
connection = "warehouse"
query = "SELECT * FROM payments WHERE card = :card AND amount > :low"
parameters = { card = "text", low = { type = "number", default = 0 } }
max_rows = 5
records = true
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cards.csv").write_text("card_id,card_fico_score\n1,700\n")
    (tmp_path / "score.py").write_text("def predict(amount: float, score: int): return 1.0\n")
    (tmp_path / "service.toml").write_text(DATA)
    return tmp_path


def test_datasets_enrichments_and_queries_are_read(folder):
    service = read(folder)
    assert service.datasets == {
        "cards": Dataset("cards", "data/cards.csv", types={"card_id": ColumnType.TEXT}),
        "merchants": Dataset("merchants", connection="warehouse", table="public.merchants"),
    }
    assert service.endpoints["cards"].enrichments == (
        Enrichment(
            "cards",
            {"card_id": "card_id"},
            {"score": "card_fico_score"},
            on_no_match=Reaction.IGNORE,
            return_enriched=True,
        ),
    )
    query = SqlQuery.from_options(service.endpoints["recent"].options)
    assert (query.connection, query.max_rows, query.read_only) == ("warehouse", 5, True)
    assert query.parameters.load({"card": "a"}) == {"card": "a", "low": 0}


def test_they_come_back_from_the_records_as_they_were(folder):
    service = read(folder)
    assert Service.from_plain(service.to_plain()) == service


def test_what_is_needed_of_a_dataset_is_known(folder):
    assert read(folder).needed_of("cards") == (["card_id", "card_fico_score"], [("card_id",)])
    assert read(folder).needed_of("merchants") == ([], [])


@pytest.mark.parametrize(
    "old, new, line, said",
    [
        ('file = "data/cards.csv"', 'file = "../cards.csv"', 4, "in this folder"),
        ('file = "data/cards.csv"', 'file = "/etc/passwd"', 4, "in this folder"),
        ('file = "data/cards.csv"', 'file = "nowhere.csv"', 4, "There is no file"),
        ('file = "data/cards.csv"\n', "", 3, "Must have either"),
        ('table = "public.merchants"', 'table = "m"\nfile = "data/cards.csv"', 7, "Must have either"),
        ('card_id = "text"', 'card_id = "string"', 5, "one of integer, number"),
        ('dataset = "cards"', 'dataset = "card"', 15, "Did you mean 'cards'?"),
        ('keys = ["card_id"]', "keys = []", 16, "a list of columns"),
        ('keys = ["card_id"]', "keys = 5", 16, "a list of columns, or a table"),
        ('keys = ["card_id"]\n', "", 14, "`keys` is missing"),
        ('on_no_match = "ignore"', 'on_no_match = "drop"', 18, "one of error, ignore"),
        (":card AND", ":cards AND", 24, ":cards, which is no parameter"),
        ("amount > :low", "amount > 0", 24, "does not use the parameter 'low'"),
        ("default = 0", 'default = "much"', 25, "number"),
        ('card = "text"', 'card = "string"', 25, "a type (integer, number, text"),
        ("max_rows = 5", "max_rows = 0", 26, "a whole number from 1 to 100000"),
        ("max_rows = 5", "script = 'score.py:predict'", 26, "no such member"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder, old, new, line, said):
    assert DATA.count(old) == 1
    (folder / "service.toml").write_text(DATA.replace(old, new))
    with pytest.raises(DefinitionRefused) as caught:
        read(folder)
    assert [(fault.line, said in fault.detail) for fault in caught.value.faults] == [(line, True)]
