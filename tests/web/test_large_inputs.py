"""Large arrays reach the worker through memory that both see; nobody's bytes are ever taken for another's."""

import asyncio
import io

import numpy as np
import pytest

from deepaas_core.executors.shelf import Shelf

MODEL = """
import os, time

def predict_data(data, wait_s: float = 0.0):
    time.sleep(wait_s)
    if isinstance(data, bytes):
        return [len(data), data[0], data[-1]]
    if data[0] < 0:
        os._exit(1)
    return [len(data), float(data[0]), float(data.min()), float(data.max())]
"""
PATH = "/api/v1/models/arrays/predict/data"
NPY = {"Content-Type": "application/x-npy"}


def npy(value: float, length: int = 200_000) -> bytes:
    """An array of 8 bytes a number, all of them the same."""
    file = io.BytesIO()
    np.save(file, np.full(length, value))
    return file.getvalue()


@pytest.fixture
def lent(monkeypatch) -> list[bool]:
    """Whether there was a slot to be had, each time somebody asked."""
    asked = []
    lend = Shelf.lend

    def spying(self):
        loan = lend(self)
        asked.append(loan is not None)
        return loan

    monkeypatch.setattr(Shelf, "lend", spying)
    return asked


@pytest.fixture
async def client(serve):
    return await serve(arrays=MODEL)


async def predict(client, body: bytes, **options):
    response = await client.post(PATH, data=io.BytesIO(body), headers=NPY, **options)
    return response.status, (await response.json()).get("prediction")


async def test_many_at_once_get_their_own_answers(client, lent):
    bodies = {number: npy(number, 100_000 + 999 * number) for number in range(40)}
    answers = await asyncio.gather(*(predict(client, body) for body in bodies.values()))
    assert answers == [(200, [100_000 + 999 * number, number, number, number]) for number in bodies]
    assert True in lent
    assert False in lent


async def test_bytes_come_as_they_are(client):
    headers = {"Content-Type": "application/octet-stream"}
    response = await client.post(PATH, data=io.BytesIO(b"\x07" * 300_000 + b"\x09"), headers=headers)
    assert (await response.json())["prediction"] == [300_001, 7, 9]


async def test_compressed_ones_are_decompressed(client):
    import gzip

    headers = NPY | {"Content-Encoding": "gzip"}
    noise = np.random.default_rng(0).random(200_000)
    noise[0] = 0.5
    file = io.BytesIO()
    np.save(file, noise)
    response = await client.post(PATH, data=io.BytesIO(gzip.compress(file.getvalue())), headers=headers)
    assert (await response.json())["prediction"][:2] == [200_000, 0.5]


async def test_slots_come_back_from_uploads_that_break_off(client, lent):
    whole = npy(3)
    lines = (
        f"POST {PATH} HTTP/1.1",
        "Host: here",
        "Content-Type: application/x-npy",
        f"Content-Length: {len(whole)}",
        "",
    )
    for cut in (200, 400_000, len(whole) - 1):
        _, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
        writer.write("\r\n".join((*lines, "", "")).encode() + whole[:cut])
        await writer.drain()
        await client.get("/livez")
        writer.close()
        await client.get("/livez")
    assert lent
    lent.clear()
    for _ in range(4):
        assert await predict(client, whole) == (200, [200_000, 3, 3, 3])
    assert lent == [True] * 4


async def test_slots_come_back_from_calls_that_fail_crash_or_take_too_long(client, lent):
    for _ in range(3):
        assert (await client.post(PATH, data=io.BytesIO(b"x" * 300_000), headers=NPY)).status == 400
        assert (await client.post(PATH + "?wait_s=often", data=io.BytesIO(npy(1)), headers=NPY)).status == 422
        assert (await client.post(PATH, data=io.BytesIO(npy(-1)), headers=NPY)).status == 500
    slow = await client.post(PATH + "?wait_s=20", data=io.BytesIO(npy(1)), headers=NPY | {"X-Timeout-S": "0.2"})
    assert slow.status == 504
    lent.clear()
    for number in range(4):
        assert await predict(client, npy(number)) == (200, [200_000, number, number, number])
    assert lent == [True] * 4


async def test_what_a_client_leaves_behind_is_not_overwritten_while_it_is_read(client):
    left = [
        asyncio.create_task(client.post(PATH + "?wait_s=0.2", data=io.BytesIO(npy(1)), headers=NPY)) for _ in range(3)
    ]
    await client.get("/livez")
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for number in range(5, 15):
        assert await predict(client, npy(number)) == (200, [200_000, number, number, number])
