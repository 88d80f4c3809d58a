"""Answers that come piece by piece over HTTP."""

import json

import pytest

WORDS = """
    import asyncio
    import time

    def predict_data(data, pause=0.0, fail=False):
        for word in data.split():
            yield {"word": word}
            time.sleep(pause)
        if fail:
            raise ValueError("lost for words")

    async def predict(count: int = 3):
        for number in range(count):
            await asyncio.sleep(0)
            yield number
"""
DATA = "/api/v1/models/words/predict/data"


@pytest.fixture
async def client(serve):
    return await serve("--web-show-model-errors", words=WORDS)


async def test_pieces_are_lines_of_json_unless_something_else_is_asked_for(client):
    response = await client.post(DATA, json={"data": "one two"})
    assert response.content_type == "application/x-ndjson"
    assert [json.loads(line) for line in (await response.text()).splitlines()] == [{"word": "one"}, {"word": "two"}]


async def test_pieces_are_server_sent_events_for_those_who_accept_them(client):
    response = await client.post(DATA, json={"data": "one two"}, headers={"Accept": "text/event-stream"})
    assert response.content_type == "text/event-stream"
    assert await response.text() == 'data: {"word":"one"}\n\ndata: {"word":"two"}\n\nevent: end\ndata: {}\n\n'


async def test_the_pieces_are_one_list_for_those_who_accept_only_json(client):
    response = await client.post(DATA, json={"data": "one two"}, headers={"Accept": "application/json"})
    assert (await response.json())["prediction"] == [{"word": "one"}, {"word": "two"}]


async def test_an_asynchronous_generator_streams_as_well(client):
    response = await client.post("/api/v1/models/words/predict", json={"count": 2})
    assert await response.text() == "0\n1\n"


async def test_a_piece_arrives_before_the_next_one_is_made(client):
    response = await client.post(DATA, json={"data": "one two", "pause": 3600}, headers={"X-Timeout-S": "20"})
    assert json.loads(await response.content.readline()) == {"word": "one"}
    response.close()


async def test_a_failure_in_the_middle_is_told_as_the_last_piece(client):
    lines = (await (await client.post(DATA, json={"data": "one", "fail": True})).text()).splitlines()
    assert json.loads(lines[0]) == {"word": "one"}
    problem = json.loads(lines[1])["error"]
    assert problem["type"] == "/problems/model-failure"
    assert "lost for words" in problem["detail"]
    response = await client.post(DATA, json={"data": "one", "fail": True}, headers={"Accept": "text/event-stream"})
    assert "event: error\ndata: {" in await response.text()


async def test_a_client_that_leaves_frees_the_model(client):
    response = await client.post(DATA, json={"data": "x " * 100_000})
    await response.content.readline()
    response.close()
    response = await client.post(DATA, json={"data": "next"})
    assert await response.text() == '{"word":"next"}\n'
