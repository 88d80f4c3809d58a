"""Every place that keeps the prediction log, by the same suite."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from deepaas_core.domain.access import ALL_NAMES, Names
from deepaas_core.domain.prediction_log import Label, LogEntry, Predicted, Statistics, Wanted, new_id
from deepaas_core.errors import StoreUnavailable
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.transcript import Seen
from deepaas_core.settings import PredictionLog
from deepaas_core.stores import migrations
from deepaas_core.stores.database import PREDICTIONS_FILE, Database
from deepaas_core.stores.memory_predictions import MemoryPredictionStore
from deepaas_core.stores.sql_predictions import SqlPredictionStore, metadata
from deepaas_core.telemetry.metrics import Counts

NOW = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


def an_entry(second: float = 0.0, **given) -> LogEntry:
    at = NOW + timedelta(seconds=second)
    return LogEntry(
        **{"id": new_id(at), "at": at, "request": uuid.uuid4().hex, "service": "churn", "endpoint": "risk"} | given
    )


class PredictionStoreContract:
    """What holds for every place that keeps the prediction log. Heirs give a fixture ``store``."""

    async def test_an_entry_is_kept_as_it_is(self, store):
        entry = an_entry(
            generation="v1",
            row=7,
            token=uuid.uuid4().hex,
            status=422,
            error="InvalidInput",
            duration_s=0.25,
            inputs='{"Ω":"\\u0000"}',
            output="[1.5]",
            context="{}",
            predicted=Predicted(1.5, "good", {"good": 0.75, "bad": 0.25}),
        )
        bare = an_entry(1)
        await store.add([entry, bare])
        assert list(await store.find(Wanted(), 10)) == [bare, entry]
        without = replace(entry, inputs=None, output=None, context=None)
        assert list(await store.find(Wanted(), 10, texts=False)) == [bare, without]

    async def test_what_is_stored_twice_is_there_once(self, store):
        first, second = an_entry(), an_entry(1)
        await store.add([first])
        await store.add([first, second])
        assert list(await store.find(Wanted(), 10)) == [second, first]

    async def test_entries_come_newest_first_a_page_at_a_time(self, store):
        entries = [an_entry(second) for second in range(7)]
        await store.add(entries[3:])
        await store.add(entries[:3])
        newest = await store.find(Wanted(), 4)
        assert list(newest) == entries[:2:-1]
        assert list(await store.find(Wanted(), 4, newest[-1].id)) == entries[2::-1]

    @pytest.mark.parametrize(
        "wanted",
        [
            Wanted(service="fraud"),
            Wanted(endpoint="other"),
            Wanted(generation="v2"),
            Wanted(token="t" * 32),
            Wanted(request="mine"),
            Wanted(status=503),
            Wanted(status=5),
            Wanted(since=NOW + timedelta(seconds=5)),
            Wanted(until=NOW - timedelta(seconds=4)),
            Wanted(names=Names(frozenset({"fraud"}))),
            Wanted(names=Names(frozenset({"churn"}), all_but=True)),
            Wanted(names=Names()),
        ],
        ids=str,
    )
    async def test_entries_are_chosen(self, store, wanted):
        entries = [
            an_entry(0, service="fraud"),
            an_entry(1, endpoint="other"),
            an_entry(2, generation="v2", token="t" * 32),
            an_entry(3, request="mine", status=503),
            an_entry(5),
            an_entry(-5),
        ]
        await store.add(entries)
        chosen = [entry for entry in sorted(entries, key=lambda one: one.at, reverse=True) if wanted.covers(entry)]
        assert list(await store.find(wanted, 10)) == chosen
        assert (await store.statistics(wanted)).total == len(chosen) < len(entries)

    async def test_a_label_is_kept_for_its_row_and_for_all_rows_of_a_request(self, store):
        entries = [an_entry(row, request="many", row=row) for row in range(3)] + [an_entry(9, request="one")]
        await store.add(entries)
        labels = [Label("many", "bad"), Label("many", "good", 1), Label("one", 2.5), Label("none", 1)]
        assert list(await store.label(labels, ALL_NAMES, NOW)) == [labels[3]]
        found = await store.find(Wanted(labelled=True), 10)
        assert [entry.label for entry in found] == ["2.5", '"bad"', '"good"', '"bad"']
        assert found[0].labelled_at == NOW

    async def test_nobody_labels_what_is_not_theirs(self, store):
        await store.add([an_entry(request="one")])
        label = Label("one", "bad")
        assert list(await store.label([label], Names(frozenset({"fraud"})), NOW)) == [label]
        assert list(await store.find(Wanted(labelled=True), 10)) == []

    async def test_nothing_comes_down_to_nothing(self, store):
        assert await store.statistics(Wanted()) == Statistics()

    async def test_statistics_say_how_many_there_were_and_how_long_they_took(self, store):
        await store.add(
            [an_entry(second, generation="v1", duration_s=(second + 1) / 1000) for second in range(100)]
            + [an_entry(200, generation="v2", duration_s=0.5), an_entry(201, status=500, duration_s=9)]
        )
        seen = await store.statistics(Wanted(service="churn"))
        assert dict(seen.counts) == {("risk", "v1", 200): 100, ("risk", "v2", 200): 1, ("risk", "", 500): 1}
        assert (seen.total, seen.failed) == (102, 1)
        assert (seen.first, seen.last) == (NOW, NOW + timedelta(seconds=201))
        v1 = seen.latency["v1"]
        assert (v1.count, v1.most) == (100, 0.1)
        assert (v1.p50, v1.p90, v1.p99) == pytest.approx((0.05, 0.09, 0.099), rel=0.011)
        assert v1.mean == pytest.approx(0.0505)
        assert seen.latency["v2"].p50 == pytest.approx(0.5, rel=0.011)
        assert (seen.latency[""].count, seen.latency[""].most) == (101, 0.5)

    async def test_statistics_say_when_there_were_how_many(self, store):
        await store.add([an_entry(second, status=200 if second < 90 else 503) for second in range(96)])
        wanted = Wanted(since=NOW, until=NOW + timedelta(seconds=96))
        seen = await store.statistics(wanted)
        assert (seen.since, seen.step_s) == (NOW, 2.0)
        assert dict(seen.timeline) == {place: (2, 2 if place >= 45 else 0) for place in range(48)}

    async def test_statistics_say_what_was_predicted(self, store):
        good, bad = Predicted(None, "good"), Predicted(None, "bad")
        await store.add([an_entry(at, generation="v1", predicted=good) for at in range(3)])
        await store.add([an_entry(9, generation="v2", predicted=bad), an_entry(10, generation="v2")])
        seen = await store.statistics(Wanted())
        assert dict(seen.categories) == {("good", "v1"): 3, ("bad", "v2"): 1}
        assert seen.other == 0
        assert seen.numbers.edges == ()

    async def test_rare_classes_are_counted_together(self, store):
        await store.add([an_entry(at, predicted=Predicted(None, f"{at % 40:02}")) for at in range(60)])
        seen = await store.statistics(Wanted())
        assert len(seen.categories) == 30
        assert sum(seen.categories.values()) + seen.other == 60
        assert seen.categories["00", ""] == 2

    async def test_statistics_say_how_numbers_are_spread(self, store):
        await store.add([an_entry(at, generation="v1", predicted=Predicted(at / 2)) for at in range(49)])
        await store.add([an_entry(99, generation="v2", predicted=Predicted(0.25))])
        spread = (await store.statistics(Wanted())).numbers
        assert list(spread.edges) == pytest.approx([float(edge) for edge in range(25)])
        assert list(spread.counts["v1"]) == [2] * 23 + [3]
        assert list(spread.counts["v2"]) == [1] + [0] * 23

    async def test_one_number_is_spread_over_one_place(self, store):
        await store.add([an_entry(predicted=Predicted(-3.0))])
        spread = (await store.statistics(Wanted())).numbers
        assert list(spread.counts[""]) == [1] + [0] * 23
        assert spread.edges[0] == -3.0

    async def test_statistics_say_how_many_have_a_label(self, store):
        await store.add([an_entry(at, request=str(at)) for at in range(3)])
        await store.label([Label("1", "bad")], ALL_NAMES, NOW)
        assert (await store.statistics(Wanted())).labelled == 1

    async def test_what_is_too_old_is_removed(self, store):
        entries = [an_entry(second, inputs="1") for second in range(6)]
        await store.add(entries)
        assert await store.trim(NOW + timedelta(seconds=2), None) == 2
        assert await store.trim(NOW + timedelta(seconds=2), None) == 0
        assert list(await store.find(Wanted(), 10)) == entries[:1:-1]

    async def test_of_each_service_the_newest_are_kept(self, store):
        churn, fraud = [an_entry(at) for at in range(4)], [an_entry(at - 9, service="fraud") for at in range(2)]
        await store.add([*churn, *fraud])
        while await store.trim(None, 3):
            pass
        assert list(await store.find(Wanted(), 10)) == [*churn[:0:-1], *fraud[::-1]]


class TestMemory(PredictionStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryPredictionStore()


def opened(url, folder) -> SqlPredictionStore:
    return SqlPredictionStore(partial(Database.open, url, folder, migrations.PREDICTIONS))


class TestSqlite(PredictionStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        store = opened("", tmp_path)
        yield store
        await store.close()


class TestPostgresql(PredictionStoreContract):
    @pytest.fixture
    async def store(self, postgres, tmp_path):
        store = opened(postgres.with_tables(migrations.PREDICTIONS), tmp_path)
        yield store
        await store.close()


async def test_there_is_no_file_before_there_is_an_entry(tmp_path):
    store = opened("", tmp_path)
    assert list(tmp_path.iterdir()) == []
    await store.add([an_entry()])
    await store.close()
    assert (tmp_path / PREDICTIONS_FILE).stat().st_mode & 0o077 == 0


async def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / PREDICTIONS_FILE
    path.write_text("not a database" * 100)
    store = opened("", tmp_path)
    with pytest.raises(StoreUnavailable, match=r"predictions\.db"):
        await store.add([an_entry()])
    assert path.read_text() == "not a database" * 100


async def test_the_log_of_a_newer_version_is_left_alone(tmp_path):
    store = opened("", tmp_path)
    await store.add([an_entry()])
    await store.close()
    database = sqlite3.connect(tmp_path / PREDICTIONS_FILE)
    database.execute("UPDATE predictions_version SET version_num = '9999'")
    database.commit()
    database.close()
    with pytest.raises(StoreUnavailable, match="9999"):
        await opened("", tmp_path).add([an_entry()])


async def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    await (await Database.open("", tmp_path, migrations.PREDICTIONS)).close()
    engine = create_engine(f"sqlite:///{tmp_path / PREDICTIONS_FILE}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.PREDICTIONS.version_table})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == migrations.PREDICTIONS.head
    engine.dispose()


async def test_entries_wait_for_a_database_server_that_goes_and_comes_back(postgres, tmp_path, caplog):
    counts, database = Counts(), postgres.new_database(uuid.uuid4().hex)
    recorder = Recorder(opened(database, tmp_path), PredictionLog(log="full", write_every_ms=5), counts)
    rules = recorder.rules("churn")

    async def note(first):
        for number in range(first, first + 100):
            recorder.note(Seen(rules, time.time(), f"r{number}", "churn", "risk"))
            await asyncio.sleep(0)

    await note(0)
    await recorder.written()
    postgres.stop()
    try:
        await note(100)
        while "cannot be written" not in caplog.text:
            await asyncio.sleep(0.01)
        await note(200)
    finally:
        postgres.start()
    await note(300)
    await recorder.close(30)
    assert counts.entries == {"written": 400, "dropped": 0}
    store = opened(database, tmp_path)
    found = await store.find(Wanted(), 1000)
    assert {entry.request for entry in found} == {f"r{number}" for number in range(400)}
    assert len(found) == 400
    await store.close()
