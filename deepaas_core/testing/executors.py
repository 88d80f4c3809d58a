"""The contract of executors, as a suite: whoever writes one inherits it and hands in the executor."""

import asyncio
import json
from typing import Any

import pytest

from deepaas_core import errors
from deepaas_core.domain.model import Capability
from deepaas_core.executors.base import Call, Executor, ExecutorState, Result

#: The entry-point target of the model that the suite calls.
TARGET = "deepaas_core.testing.model"


def told(data: Any, timeout_s: float = 20.0) -> Call:
    """A call of ``predict_data`` with this data."""
    body = json.dumps(data).encode()
    return Call(Capability.PREDICT_DATA, payload={"form": "json"}, body=body, timeout_s=timeout_s)


def said(words: str, fail_at: int = -1, forever: bool = False, stream: bool = True) -> Call:
    """A call of ``predict``, which says these words piece by piece."""
    values = {"words": words, "fail_at": fail_at, "forever": forever}
    return Call(Capability.PREDICT, values, stream=stream, timeout_s=20.0)


def records(*each: Any, timeout_s: float = 20.0) -> Call:
    """A call of ``predict`` with these records."""
    body = json.dumps(each).encode()
    return Call(Capability.PREDICT, payload={"form": "records"}, body=body, timeout_s=timeout_s)


def answer(result: Result) -> Any:
    """The JSON value of a result."""
    return json.loads(result.body)


async def up(executor: Executor) -> Executor:
    """Start an executor and wait until it has left its first start."""
    executor.start()
    async with asyncio.timeout(30):
        while executor.state is ExecutorState.STARTING:
            await asyncio.sleep(0.005)
    return executor


class ExecutorContract:
    """What every executor does. Give it a fixture ``executor`` that runs ``TARGET``, not started, one worker."""

    @pytest.fixture
    async def started(self, executor: Executor) -> Any:
        yield await up(executor)
        await executor.close(drain_s=1.0)

    async def test_describes_the_model_once_it_is_ready(self, started: Executor) -> None:
        assert started.state is ExecutorState.READY
        assert started.description is not None
        assert "predict_data" in started.description["capabilities"]
        assert started.description["metadata"]["version"] == "9.9"

    async def test_gives_back_what_the_model_returns(self, started: Executor) -> None:
        assert answer(await started.call(told({"x": [1, 2.5, None, "é"]}))) == {"x": [1, 2.5, None, "é"]}

    async def test_answers_each_of_many_callers_with_their_own_result(self, started: Executor) -> None:
        results = await asyncio.gather(*(started.call(told(number)) for number in range(90)))
        assert [answer(result) for result in results] == list(range(90))

    @pytest.mark.parametrize("order", ["unprintable", "unpicklable", "sys.exit", "interrupt", "overflow"])
    async def test_survives_whatever_a_model_raises(self, started: Executor, order: str) -> None:
        with pytest.raises(errors.ModelFailure):
            await started.call(told({"do": order}))
        assert answer(await started.call(told("still there"))) == "still there"

    async def test_tells_the_type_and_text_of_an_exception(self, started: Executor) -> None:
        with pytest.raises(errors.ModelFailure) as caught:
            await started.call(told({"do": "raise", "kind": "ValueError", "text": "too blue"}))
        assert (caught.value.kind, caught.value.message) == ("ValueError", "too blue")
        assert "too blue" in caught.value.traceback

    async def test_an_attribute_error_inside_a_hook_is_the_models_failure(self, started: Executor) -> None:
        with pytest.raises(errors.ModelFailure) as caught:
            await started.call(told({"do": "raise", "kind": "AttributeError"}))
        assert caught.value.kind == "AttributeError"

    async def test_not_implemented_raised_on_purpose_is_a_missing_capability(self, started: Executor) -> None:
        with pytest.raises(errors.CapabilityMissing) as caught:
            await started.call(told({"do": "raise", "kind": "NotImplementedError"}))
        assert caught.value.raised

    async def test_names_the_path_of_what_cannot_be_encoded(self, started: Executor) -> None:
        with pytest.raises(errors.UnencodableResult, match=r"predictions\[2\]\.mask"):
            await started.call(told({"do": "complex"}))

    async def test_answers_strict_json(self, started: Executor) -> None:
        assert answer(await started.call(told({"do": "nan"}))) == [None, None, 1.5]

    async def test_ends_a_call_whose_time_is_up(self, started: Executor) -> None:
        with pytest.raises(errors.ModelTimeout):
            await started.call(told({"do": "sleep", "seconds": 1.5}, timeout_s=0.2))

    async def test_refuses_json_that_is_not_json(self, started: Executor) -> None:
        call = told(None)
        call.body = b'{"x": NaN'
        with pytest.raises(errors.MalformedBody):
            await started.call(call)

    async def test_large_values_come_back_as_they_went_however_many(self, started: Executor) -> None:
        values = [
            str(number) * size for number, size in enumerate([300_000, 10, 1_000_000, 500_000, 2_000_000, 600_000])
        ]
        results = await asyncio.gather(*(started.call(told(value)) for value in values))
        assert [answer(result) for result in results] == values

    async def test_a_generator_answers_piece_by_piece(self, started: Executor) -> None:
        result = await started.call(said("one two three"))
        assert result.pieces is not None
        assert [json.loads(piece) async for piece in result.pieces] == ["one", "two", "three"]

    async def test_a_generator_that_yields_nothing_answers_nothing(self, started: Executor) -> None:
        result = await started.call(said(""))
        assert result.pieces is not None
        assert [piece async for piece in result.pieces] == []

    async def test_a_generators_failure_is_told_after_what_it_yielded(self, started: Executor) -> None:
        result = await started.call(said("one two three", fail_at=2))
        assert result.pieces is not None
        taken = []
        with pytest.raises(errors.ModelFailure) as caught:
            async for piece in result.pieces:
                taken.append(json.loads(piece))
        assert taken == ["one", "two"]
        assert caught.value.message == "lost for words"

    async def test_a_generator_becomes_a_list_for_those_who_take_no_pieces(self, started: Executor) -> None:
        assert answer(await started.call(said("one two", stream=False))) == ["one", "two"]

    async def test_a_stream_that_nobody_takes_any_more_is_stopped(self, started: Executor) -> None:
        result = await started.call(said("begin", forever=True))
        assert result.pieces is not None
        assert json.loads(await anext(result.pieces)) == "begin"
        result.pieces.close()
        assert answer(await started.call(told("next"))) == "next"

    async def test_a_slow_taker_holds_the_model_up(self, started: Executor) -> None:
        result = await started.call(said("begin", forever=True))
        assert result.pieces is not None
        async with asyncio.timeout(10):
            while not result.pieces.held:
                await asyncio.sleep(0.005)
        for _ in range(300):
            await anext(result.pieces)
        result.pieces.close()

    async def test_many_records_get_an_answer_each_in_their_order(self, started: Executor) -> None:
        each = [{"number": number} for number in range(200)]
        result = await started.call(records(*each))
        assert answer(result) == each
        assert not result.refused

    async def test_no_records_get_no_answers(self, started: Executor) -> None:
        assert answer(await started.call(records())) == []

    async def test_a_record_that_fails_spoils_no_other(self, started: Executor) -> None:
        failing = {"do": "raise", "kind": "ValueError", "text": "too blue"}
        result = await started.call(records({"a": 1}, failing, {"do": "complex"}, {"a": 2}))
        assert answer(result) == [{"a": 1}, None, None, {"a": 2}]
        assert sorted(result.refused) == [1, 2]
        failure, unencodable = result.refused[1], result.refused[2]
        assert isinstance(failure, errors.ModelFailure)
        assert (failure.kind, failure.message) == ("ValueError", "too blue")
        assert isinstance(unencodable, errors.UnencodableResult)

    async def test_what_is_no_list_of_records_is_refused(self, started: Executor) -> None:
        with pytest.raises(errors.MalformedBody):
            await started.call(records({"a": 1}, 2))

    async def test_refuses_calls_after_it_was_closed(self, started: Executor) -> None:
        await started.close(drain_s=1.0)
        with pytest.raises(errors.ModelNotReady):
            await started.call(told(1))
