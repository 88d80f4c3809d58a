"""The prediction log is written behind the answers' backs, and what cannot be written is counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from deepaas_core.domain.prediction_log import LogMode, LogRules, Wanted
from deepaas_core.errors import StoreUnavailable
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.reviewer import Reviewer
from deepaas_core.serving.transcript import Seen
from deepaas_core.settings import PredictionLog
from deepaas_core.stores.memory_predictions import MemoryPredictionStore
from deepaas_core.telemetry.metrics import Counts


class Fickle(MemoryPredictionStore):
    """Is away for a while."""

    away = False

    async def add(self, entries):
        if self.away:
            raise StoreUnavailable("gone")
        await super().add(entries)

    async def close(self):
        """What was stored stays to be looked at."""


def a_recorder(store, **settings) -> tuple[Recorder, Counts]:
    counts = Counts()
    return Recorder(store, PredictionLog(log="full", **settings), counts), counts


def seen(number: int, durable: bool = False) -> Seen:
    return Seen(LogRules(LogMode.FULL, durable=durable), 1714566615.0 + number, f"r{number}", "churn", "risk")


async def requests(store) -> list[str]:
    return [entry.request for entry in await store.find(Wanted(), 100_000)]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("deepaas_core.serving.recorder.RETRY_MIN_S", 0.01)


async def test_what_is_noted_is_written_before_the_recorder_is_closed():
    recorder, counts = a_recorder(store := Fickle(), write_every_ms=10_000)
    for number in range(2500):
        recorder.note(seen(number))
    await recorder.close(5)
    assert await requests(store) == [f"r{number}" for number in reversed(range(2500))]
    assert counts.entries == {"written": 2500, "dropped": 0}


async def test_what_is_noted_is_soon_written_by_itself():
    recorder, _ = a_recorder(store := Fickle(), write_every_ms=1)
    recorder.note(seen(1))
    while not await requests(store):
        await asyncio.sleep(0.001)
    recorder.note(seen(2))
    while len(await requests(store)) < 2:
        await asyncio.sleep(0.001)
    await recorder.close(5)


async def test_entries_wait_while_the_log_is_away_and_what_is_too_many_is_counted(quick, caplog):
    recorder, counts = a_recorder(store := Fickle(), write_every_ms=1, max_waiting=10)
    store.away = True
    for number in range(25):
        recorder.note(seen(number))
        await asyncio.sleep(0)
    assert counts.entries["dropped"] == 15
    while "cannot be written" not in caplog.text:
        await asyncio.sleep(0.001)
    store.away = False
    await recorder.close(5)
    assert await requests(store) == [f"r{number}" for number in reversed(range(10))]
    assert counts.entries == {"written": 10, "dropped": 15}
    assert "written again" in caplog.text


async def test_what_cannot_be_written_by_the_end_is_counted(caplog):
    recorder, counts = a_recorder(store := Fickle())
    store.away = True
    for number in range(3):
        recorder.note(seen(number))
    await recorder.close(0.05)
    assert counts.entries == {"written": 0, "dropped": 3}
    assert "not written to its end" in caplog.text


async def test_entries_may_not_take_more_memory_than_they_are_allowed():
    recorder, counts = a_recorder(Fickle(), max_waiting_mb=1)
    for number in range(12):
        recorder.note(replace(seen(number), size=100_000))
    assert counts.entries["dropped"] == 2
    await recorder.close(5)
    assert counts.entries["written"] == 10


async def test_a_durable_entry_is_there_when_the_waiting_is_over():
    recorder, _ = a_recorder(store := Fickle(), write_every_ms=10_000)
    await recorder.note(seen(1, durable=True))
    assert await requests(store) == ["r1"]
    await recorder.close(5)


async def test_a_durable_entry_that_cannot_be_written_says_so():
    recorder, _ = a_recorder(store := Fickle())
    store.away = True
    with pytest.raises(StoreUnavailable):
        await recorder.note(seen(1, durable=True))
    await recorder.close(0.01)


async def test_an_entry_that_cannot_be_made_does_not_keep_others_from_being_written(caplog):
    recorder, counts = a_recorder(store := Fickle())
    recorder.note(replace(seen(1), at=float("inf")))
    recorder.note(seen(2))
    await recorder.close(5)
    assert await requests(store) == ["r2"]
    assert counts.entries == {"written": 1, "dropped": 1}


async def test_who_brings_many_entries_waits_for_room(quick):
    recorder, counts = a_recorder(Fickle(), write_every_ms=1, max_waiting=10)
    for number in range(100):
        await recorder.room()
        recorder.note(seen(number))
    await recorder.close(5)
    assert counts.entries == {"written": 100, "dropped": 0}


async def test_sampling_keeps_about_the_part_that_is_asked_for():
    recorder, _ = a_recorder(Fickle())
    rules = LogRules(LogMode.SAMPLED, sample=0.25)
    assert 2000 < sum(recorder.chooses(rules) for _ in range(10_000)) < 3000


@pytest.mark.parametrize(
    ("settings", "said", "kept"),
    [
        ({"log": "off"}, {}, False),
        ({"log": "off"}, {"log": "full"}, True),
        ({"log": "full"}, {}, True),
        ({"log": "full"}, {"log": "off"}, False),
        ({"log": "never"}, {"log": "full"}, False),
        ({"log": "full", "only": ("churn",)}, {}, True),
        ({"log": "full", "only": ("fraud",)}, {}, False),
    ],
)
def test_settings_and_services_say_what_is_kept(settings, said, kept):
    recorder = Recorder(Fickle(), PredictionLog(**settings), Counts())
    assert (recorder.rules("churn", "v1", said) is not None) == kept


async def test_the_oldest_entries_are_tidied_away():
    recorder, _ = a_recorder(store := Fickle(), count=2)
    for number in range(5):
        recorder.note(seen(number))
    await recorder.written()
    tidying = asyncio.create_task(recorder.tidy())
    while len(await requests(store)) > 2:
        await asyncio.sleep(0.001)
    assert await requests(store) == ["r4", "r3"]
    tidying.cancel()
    await recorder.close(5)


async def test_who_wants_the_same_review_at_the_same_moment_shares_it():
    class Counting(MemoryPredictionStore):
        looks = 0

        async def statistics(self, wanted):
            self.looks += 1
            await asyncio.sleep(0.01)
            return await super().statistics(wanted)

    reviewer = Reviewer(store := Counting())
    wanted = [Wanted(service="churn"), Wanted(service="churn"), Wanted(service="fraud")]
    await asyncio.gather(*map(reviewer.review, wanted))
    assert store.looks == 2
    await reviewer.review(wanted[0])
    assert store.looks == 3
