"""What the use case of a prediction makes known besides the answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.executors.base import Call, Result
from deepaas_core.serving.predictor import Predictor

MODEL = Model(
    Source("score", "service", "", "score", "v1", settings={"timeout_s": 7.0}), frozenset({Capability.PREDICT})
)


@pytest.fixture
def predictor():
    """A predictor with one model, whose executor answers with what the test puts into ``result``."""
    calls = []

    async def call(call):
        calls.append(call)
        return made.result

    entry = SimpleNamespace(executor=SimpleNamespace(call=call))
    made = Predictor(
        SimpleNamespace(entry=lambda name: entry, part=lambda name: entry),
        lambda source: source.settings.get("timeout_s", 30.0),
    )
    made.calls = calls
    return made


async def test_records_that_the_model_failed_on_are_told_once_in_the_log(predictor, caplog):
    failure = errors.ModelFailure("score", "ValueError", "too blue", "Traceback …")
    refused = {0: errors.InvalidInput([]), 1: failure, 2: failure}
    predictor.result = Result(b"[null,null,null]", refused=refused, status=201, headers=(("X-A", "b"),))
    prediction = await predictor.predict(MODEL, Call(Capability.PREDICT))
    assert (prediction.refused, prediction.status, prediction.headers) == (refused, 201, (("X-A", "b"),))
    [record] = [record for record in caplog.records if record.message == "model failed"]
    assert (record.records, record.kind, record.text) == (2, "ValueError", "too blue")


async def test_a_part_has_its_own_time_limit(predictor):
    predictor.result = Result(b"1")
    await asyncio.gather(predictor.predict(MODEL, Call(Capability.PREDICT)))
    assert predictor.calls[0].timeout_s == 7.0
