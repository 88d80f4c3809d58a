"""The express lane: the plainest predictions are answered as if there were none, only sooner."""

import asyncio
import re
from contextlib import suppress

import pytest

from deepaas_core.web.express import Express
from tests.scraped import Page

MODEL = """
import os, time
from deepaas_core import ReturnedFile

def predict_data(data, scale: float = 1.0):
    if data == "fail":
        raise ValueError("too blue")
    if data == "file":
        path = os.path.join(os.environ["TMPDIR"], "answer.txt")
        with open(path, "w") as file:
            file.write("from a file")
        return ReturnedFile(path, "text/plain")
    if data == "stream":
        return (number for number in range(3))
    if isinstance(data, dict):
        time.sleep(data["sleep"])
    return [data, scale]
"""
PATH = "/api/v1/models/told/predict/data"


@pytest.fixture
def express(monkeypatch) -> list[bytes | None]:
    """What the express lane has answered; None for what it handed over."""
    answered = []
    answer = Express.answer

    def spying(self, *arguments):
        answered.append(answer(self, *arguments))
        return answered[-1]

    monkeypatch.setattr(Express, "answer", spying)
    return answered


@pytest.fixture
async def client(serve):
    return await serve(told=MODEL)


def post(body: bytes, *headers: str, path: str = PATH) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: here", "Content-Type: application/json", *headers)
    return "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}", "")).encode() + body


class Raw:
    """A connection on which a test writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    def send(self, *requests: bytes) -> None:
        self.writer.write(b"".join(requests))

    async def answer(self) -> tuple[int, bytes, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(re.search(rb"Content-Length: (\d+)", head)[1])
        return int(head.split()[1]), head, await self.reader.readexactly(size)


@pytest.fixture
async def connect():
    """``await connect(client)`` opens a connection to the client's server."""
    opened = []

    async def open_one(client) -> Raw:
        opened.append(Raw(*await asyncio.open_connection("127.0.0.1", client.server.port)))
        return opened[-1]

    yield open_one
    for raw in opened:
        raw.writer.close()
        with suppress(OSError):
            await raw.writer.wait_closed()


async def counted(client, **labels: str) -> float:
    page = Page(await (await client.get("/metrics")).text())
    return page.value("http_requests_total", method="POST", route=PATH.replace("told", "{model}"), **labels)


async def test_answers_are_those_of_the_usual_way(client, express, connect):
    raw = await connect(client)
    for body in (b'{"data": {"sleep": 0}}', b'[1.5, null, "\xc3\xa9"]', b' {"data":\n 7} ', b"3"):
        raw.send(post(body))
        quick = await raw.answer()
        assert len(express) == 1
        assert express.pop() is not None
        raw.send(post(body, "X-Request-ID: mine"))
        usual = await raw.answer()
        assert not express
        same = rb"(X-Request-ID|Date): [^\r]*"
        assert re.sub(same, b"", quick[1]) == re.sub(same, b"", usual[1])
        assert (quick[0], quick[2]) == (usual[0], usual[2])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"data": 1, "scale": 2}', ()),
        (b'{"data": 1', ()),
        (b'{"datum": 1}', ()),
        (b"", ()),
        (b"1", ("X-Timeout-S: 5",)),
        (b"1", ("Origin: http://elsewhere.example",)),
        (b"1", ("Accept: application/x-npy",)),
        (b"1", ("Accept: text/event-stream",)),
        (b"1", ("Connection: close",)),
    ],
)
async def test_whatever_has_to_be_weighed_goes_the_usual_way(client, express, connect, body, headers):
    raw = await connect(client)
    raw.send(post(body, *headers))
    assert (await raw.answer())[0] in (200, 400, 403, 406, 422)
    assert not express


async def test_what_becomes_of_a_call_is_told_as_ever(client, express, connect):
    raw = await connect(client)
    raw.send(post(b'"fail"'))
    status, _, body = await raw.answer()
    assert (status, b"/problems/model-failure" in body) == (500, True)
    raw.send(post(b'"file"'))
    assert (await raw.answer())[2] == b"from a file"
    raw.send(post(b'"stream"'))
    assert b"application/x-ndjson" in await raw.reader.readuntil(b"\r\n\r\n")
    assert (await raw.reader.readuntil(b"0\r\n\r\n")).split(b"\r\n")[1:6:2] == [b"0\n", b"1\n", b"2\n"]
    raw.send(post(b"1"))
    assert (await raw.answer())[0] == 200
    assert [answer is None for answer in express] == [True, True, True, False]
    assert await counted(client, status="500", model="told") == 1
    assert await counted(client, status="200", model="told") == 3


async def test_pipelined_requests_are_answered_in_order(client, express, connect):
    raw = await connect(client)
    raw.send(post(b'{"data": {"sleep": 0.1}}'))
    await client.get("/livez")
    raw.send(
        post(b"1"),
        post(b'"fail"'),
        b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n",
        post(b"2"),
        post(b"{"),
        *(post(b"%d" % number) for number in range(300)),
    )
    seen = [(await raw.answer()) for _ in range(306)]
    assert [status for status, _, _ in seen[:6]] == [200, 200, 500, 200, 200, 400]
    assert [body[-9:] for _, _, body in seen[6:]] == [(b'":[%d,1.0]}' % number)[-9:] for number in range(300)]
    assert express[0] is not None


async def test_rubbish_behind_a_request_is_refused_after_its_answer(client, express, connect):
    raw = await connect(client)
    raw.send(post(b'{"data": {"sleep": 0.1}}'))
    await client.get("/livez")
    raw.send(b"this is not HTTP\r\n\r\n")
    assert (await raw.answer())[0] == 200
    assert (await raw.answer())[0] == 400
    assert await raw.reader.read() == b""
    assert express[0] is not None


async def test_a_body_that_comes_late_is_waited_for(client, express, connect):
    raw = await connect(client)
    request = post(b'{"data": [1, 2, 3]}')
    for piece in (request[:40], request[40:-10], request[-10:]):
        raw.send(piece)
        await raw.writer.drain()
        await asyncio.sleep(0)
    assert (await raw.answer())[2].endswith(b'"prediction":[[1,2,3],1.0]}')


async def test_a_call_whose_client_has_gone_is_not_begun(client, express, connect):
    first, second = await connect(client), await connect(client)
    first.send(post(b'{"data": {"sleep": 0.3}}'))
    second.send(post(b'{"data": {"sleep": 30}}'))
    async with asyncio.timeout(10):
        while Page(await (await client.get("/metrics")).text()).value("model_queue_length", model="told") != 1:
            await asyncio.sleep(0.01)
    second.writer.close()
    assert (await first.answer())[0] == 200
    first.send(post(b"1"))
    assert (await first.answer())[0] == 200
    assert await counted(client, status="499", model="told") == 1


async def test_a_long_call_outlives_the_keep_alive_timeout(serve, express, connect):
    client = await serve("--web-keepalive-timeout-s", "0.2", told=MODEL)
    raw = await connect(client)
    raw.send(post(b'{"data": {"sleep": 0.7}}'))
    assert (await raw.answer())[0] == 200
    raw.send(post(b"1"))
    assert (await raw.answer())[0] == 200
    assert await raw.reader.read() == b""
    assert len(express) == 2


@pytest.mark.parametrize("order", [b'{"data": {"sleep": 0.5}}', b'"fail"'])
async def test_the_end_of_the_server_waits_for_what_is_on_its_way(client, express, connect, order):
    raw = await connect(client)
    raw.send(post(b'{"data": {"sleep": 0.2}}', "X-Request-ID: usual"))
    await asyncio.sleep(0)
    other = await connect(client)
    other.send(post(order))
    async with asyncio.timeout(10):
        while Page(await (await client.get("/metrics")).text()).value("model_queue_length", model="told") != 1:
            await asyncio.sleep(0.01)
    stopping = asyncio.create_task(client.server.close())
    assert (await raw.answer())[0] == 200
    assert (await other.answer())[0] == (500 if b"fail" in order else 200)
    await stopping
    assert await other.reader.read() == b""


async def test_its_lines_in_the_access_log_look_like_all_others(client, express, connect, caplog):
    raw = await connect(client)
    with caplog.at_level("INFO", "deepaas_core.access"):
        raw.send(post(b"1"))
        await raw.answer()
        raw.send(post(b"1", "X-Request-ID: mine"))
        await raw.answer()
        await client.server.close()
    lines = [record.getMessage() for record in caplog.records if record.name == "deepaas_core.access"]
    assert len(lines) == 2
    quick, usual = (re.sub(r"[\d.]+ms \w+$", "", line) for line in lines)
    assert quick == usual
