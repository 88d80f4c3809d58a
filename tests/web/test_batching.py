"""Concurrent single calls of a model with ``predict_batch`` are merged."""

import asyncio

import pytest

BATCH = """
    import time
    import numpy

    sizes = []

    def predict_batch(rows, factor: int = 1):
        if rows[0] == "sizes":
            return [list(sizes)]
        sizes.append(len(rows))
        time.sleep(0.02)
        if any(row == "bad" for row in rows):
            raise ValueError("a bad row")
        if rows[0] == "short":
            return []
        return [row * factor for row in rows]
"""
ARRAY = """
    import numpy

    def predict_batch(rows: numpy.ndarray):
        assert rows.ndim == 2, rows.shape
        return rows.sum(axis=1)
"""
CRASH = """
    import os

    def predict_batch(rows):
        if "crash" in rows:
            os._exit(1)
        return rows
"""
PATH = "/api/v1/models/{}/predict/data"


async def ask(client, data, model="batch", **arguments):
    response = await client.post(PATH.format(model), json={"data": data, **arguments})
    document = await response.json()
    return document["prediction"] if response.status == 200 else (response.status, document["type"])


@pytest.fixture
async def client(serve):
    return await serve(batch=BATCH, array=ARRAY, crash=CRASH)


async def test_many_callers_share_a_call_and_each_gets_its_own_answer(client):
    answers = await asyncio.gather(*(ask(client, number) for number in range(40)))
    assert answers == list(range(40))
    sizes = await ask(client, "sizes")
    assert sum(sizes) == 40
    assert len(sizes) < 20


async def test_only_calls_with_equal_arguments_are_merged(client):
    calls = [ask(client, number, factor=1 + number % 2) for number in range(20)]
    assert await asyncio.gather(*calls) == [number * (1 + number % 2) for number in range(20)]


async def test_a_bad_row_fails_alone(client):
    rows = [*range(6), "bad", *range(6, 12)]
    answers = await asyncio.gather(*(ask(client, row) for row in rows))
    assert [answer for answer in answers if isinstance(answer, int)] == list(range(12))
    assert answers.count((500, "/problems/model-failure")) == 1


async def test_a_wrong_number_of_results_is_the_models_fault(client):
    assert await ask(client, "short") == (500, "/problems/model-failure")


async def test_rows_come_as_an_array_when_the_author_says_so(client):
    answers = await asyncio.gather(*(ask(client, [number, 1], model="array") for number in range(10)))
    assert answers == [number + 1 for number in range(10)]


async def test_a_row_that_crashes_the_worker_takes_no_other_along(client):
    rows = ["a", "b", "crash", "c", "d", "e"]
    answers = await asyncio.gather(*(ask(client, row, model="crash") for row in rows))
    assert answers == ["a", "b", (500, "/problems/model-crashed"), "c", "d", "e"]


async def test_arguments_of_a_batch_are_checked(client):
    assert await ask(client, 1, factor="many") == (422, "/problems/invalid-input")
