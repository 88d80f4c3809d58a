"""Enrichments on rows that are kept in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deepaas_core.domain.dataset import ColumnType, Dataset
from deepaas_core.domain.deployment import Generation
from deepaas_core.domain.enrichment import Enrichment, Ignored, Reaction, Trouble
from deepaas_core.domain.service import Service
from deepaas_core.errors import ConnectionUnavailable, InvalidInput, QueryFailed
from deepaas_core.serving.enricher import Enricher


class MemoryRows:
    """Rows of a list. Implements ``datasets.base.Rows``."""

    def __init__(self, columns, rows):
        self.columns = columns
        self.rows = [dict(zip(columns, row, strict=True)) for row in rows]
        self.asked = []
        self.failure = None

    async def find(self, keys, wanted, columns):
        self.asked.append(list(wanted))
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return [
            [
                [row[column] for column in columns]
                for row in self.rows
                if tuple(row[key] for key in keys) == tuple(each)
            ][:2]
            for each in wanted
        ]

    async def close(self):
        self.columns = None


class MemoryDatasets:
    """Datasets of a test. Implements what an enricher needs of ``datasets.base.Datasets``."""

    def __init__(self, **rows):
        self.rows = rows
        self.opened = Counter()
        self.failures = []

    async def open_bundled(self, dataset, index):
        return await self.open_referenced(dataset)

    async def open_referenced(self, dataset):
        self.opened[dataset.name] += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        return self.rows[dataset.name]

    async def close(self):
        pass


TEXT, INTEGER = ColumnType.TEXT, ColumnType.INTEGER
GENERATION = Generation(
    "fraud",
    "v1",
    "0" * 64,
    Service(
        "fraud",
        datasets={"cards": Dataset("cards", "cards.csv"), "holders": Dataset("holders", "", "there", "holders")},
    ),
    datetime(2024, 5, 1, tzinfo=UTC),
)
CARDS = Enrichment("cards", {"card": "id"}, {"holder": "holder"}, on_no_match=Reaction.IGNORE)
HOLDERS = Enrichment("holders", {"holder": "id"}, {"age": "age"})


@pytest.fixture
def datasets():
    return MemoryDatasets(
        cards=MemoryRows({"id": TEXT, "holder": INTEGER}, [("a", 1), ("b", 2), ("c", 3)]),
        holders=MemoryRows({"id": INTEGER, "age": INTEGER}, [(1, 30), (2, 40)]),
    )


@pytest.fixture
def enricher(datasets):
    return Enricher(datasets, lambda digest, dataset: Path(digest) / dataset)


async def test_a_later_enrichment_searches_by_what_an_earlier_one_fetched(enricher):
    enriched = await enricher.enrich(GENERATION, [CARDS, HOLDERS], [{"card": "b"}, {"card": "a"}])
    assert enriched.records == [{"card": "b", "holder": 2, "age": 40}, {"card": "a", "holder": 1, "age": 30}]


async def test_records_are_told_apart(enricher):
    records = [{"card": "z"}, {"card": "c"}, {"card": 1.5}, {"card": "a"}]
    enriched = await enricher.enrich(GENERATION, [CARDS, HOLDERS], records)
    assert enriched.records == [None, None, None, {"card": "a", "holder": 1, "age": 30}]
    assert enriched.ignored == {0: Ignored(Trouble.NO_MATCH, "cards")}
    assert {at: type(error) for at, error in enriched.refused.items()} == {1: InvalidInput, 2: InvalidInput}


async def test_many_records_are_looked_up_together(enricher, datasets):
    await enricher.enrich(GENERATION, [CARDS], [{"card": "a"}, {"card": None}, {"card": "b"}])
    assert datasets.rows["cards"].asked == [[("a",), ("b",)]]


async def test_a_dataset_is_opened_once_however_many_ask(enricher, datasets):
    asking = (enricher.enrich(GENERATION, [CARDS, CARDS, HOLDERS], [{"card": "a"}]) for _ in range(5))
    await asyncio.gather(*asking)
    assert datasets.opened == {"cards": 1, "holders": 1}


async def test_a_dataset_that_could_not_be_opened_is_tried_again(enricher, datasets):
    datasets.failures = [ConnectionUnavailable("there", "It is away.")]
    with pytest.raises(ConnectionUnavailable):
        await enricher.enrich(GENERATION, [HOLDERS], [{"holder": 1}])
    assert (await enricher.enrich(GENERATION, [HOLDERS], [{"holder": 1}])).records == [{"holder": 1, "age": 30}]


async def test_a_caller_who_leaves_does_not_spoil_it_for_others(enricher, datasets):
    first = asyncio.create_task(enricher.enrich(GENERATION, [CARDS], [{"card": "a"}]))
    second = asyncio.create_task(enricher.enrich(GENERATION, [CARDS], [{"card": "a"}]))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).records == [{"card": "a", "holder": 1}]
    assert datasets.opened == {"cards": 1}


async def test_a_table_that_has_changed_is_looked_at_anew(enricher, datasets):
    await enricher.enrich(GENERATION, [HOLDERS], [{"holder": 1}])
    datasets.rows["holders"].failure = QueryFailed("there", "no such column")
    with pytest.raises(QueryFailed):
        await enricher.enrich(GENERATION, [HOLDERS], [{"holder": 1}])
    datasets.rows["holders"].failure = None
    await enricher.enrich(GENERATION, [HOLDERS], [{"holder": 1}])
    assert datasets.opened == {"holders": 2}


async def test_a_column_that_a_table_lacks_is_told(enricher):
    wrong = Enrichment("holders", {"holder": "id"}, {"age": "years"})
    with pytest.raises(QueryFailed, match="no column 'years'"):
        await enricher.enrich(GENERATION, [wrong], [{"holder": 1}])


async def test_what_is_there_no_more_is_let_go_of(enricher, datasets):
    await enricher.enrich(GENERATION, [CARDS, HOLDERS], [{"card": "a"}])
    enricher.keep_only(frozenset())
    await enricher.enrich(GENERATION, [CARDS, HOLDERS], [{"card": "a"}])
    assert datasets.opened == {"cards": 2, "holders": 1}
