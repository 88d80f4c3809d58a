"""Forms with files, as they arrive from clients that are careless, slow or hostile."""

import asyncio

import pytest
import pytest_asyncio
from aiohttp import FormData

MODEL = """
    def predict_data(data):
        return data

    def predict_file(path):
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
"""
BASE = "/api/v1/models/taker/predict"
TYPE = {"Content-Type": "multipart/form-data; boundary=x"}
FILE = b'--x\r\nContent-Disposition: form-data; name="data"; filename="a.bin"\r\n\r\n'
END = b"\r\n--x--\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(serve_all):
    return await serve_all(taker=MODEL)


async def in_pieces(content, size):
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 1000])
async def test_a_file_is_whole_wherever_the_connection_cuts_it(client, size):
    content = b"one\r\n--x but no end\r\n-\r\r\n--" * 3
    response = await client.post(f"{BASE}/file", data=in_pieces(FILE + content + END, size), headers=TYPE)
    assert response.status == 400  # what begins like a boundary ends a part, and is none
    content = b"one\r\n--y\r\n--\r\r\n-" * 3
    response = await client.post(f"{BASE}/file", data=in_pieces(FILE + content + END, size), headers=TYPE)
    assert response.status == 200
    assert (await response.json())["prediction"].encode("latin-1") == content


@pytest.mark.parametrize(
    "body",
    [
        FILE + b"never ends",
        FILE,
        b"--x\r\nContent-Disposition: form-data\r\n\r\nnameless" + END,
        b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n' + END,
        b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=no\r\n\r\nb' + END,
        b"".join(b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n' % n for n in range(201)) + END[2:],
    ],
    ids=["cut short", "no content", "no name", "parts of its own", "no such charset", "too many parts"],
)
async def test_a_form_that_cannot_be_read_is_refused_and_leaves_nothing_behind(client, body):
    response = await client.post(f"{BASE}/file", data=body, headers=TYPE)
    assert (response.status, (await response.json())["type"].rpartition("/")[2]) == (400, "malformed-body")
    assert list(client.scratch.iterdir()) == []


async def test_a_form_may_tell_the_charset_of_its_fields(client):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nlatin-1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\nna\xefve' + END
    )
    response = await client.post(f"{BASE}/data", data=body, headers=TYPE)
    assert (await response.json())["prediction"] == "naïve"


async def test_a_file_that_nobody_expects_is_named(client):
    form = FormData()
    form.add_field("other", b"1", filename="a.bin")
    response = await client.post(f"{BASE}/file", data=form)
    assert (response.status, (await response.json())["errors"][0]["pointer"]) == (422, "/other")
