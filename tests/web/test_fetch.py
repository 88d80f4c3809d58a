"""The guarded client, against real servers on the loopback address, let through where a test says so."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deepaas_core import errors
from deepaas_core.executors.worker.guard import Guard
from deepaas_core.web.fetch import Checked, Fetcher, check

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[TestServer]]


@pytest.fixture
def serve(aiohttp_server: Callable[[web.Application], Awaitable[TestServer]]) -> Serve:
    """Start a server that answers everything with one handler."""

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        return await aiohttp_server(app)

    return start


@pytest.fixture
def inside() -> Iterator[socket.socket]:
    """A service of the network behind the server, which nobody must connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def assert_untouched(inside: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        inside.accept()


def fetcher(*servers: TestServer, **options: object) -> Fetcher:
    """A fetcher whose guard lets these servers through."""
    return Fetcher(Guard(allow=tuple(f"127.0.0.1:{server.port}" for server in servers)), **options)  # type: ignore[arg-type]


class Names:
    """A resolver that answers from a list, one look-up after the other, and counts them."""

    def __init__(self, *answers: Sequence[str]):
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if not self.answers:
            raise socket.gaierror("no such name")
        return self.answers.pop(0)


async def test_content_is_fetched_into_the_file(serve: Serve, tmp_path: Path):
    async def image(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1_000_000, content_type="image/png")

    server = await serve(image)
    assert await fetcher(server).fetch_to(str(server.make_url("/seven.png?a=b")), tmp_path / "file") == "image/png"
    assert (tmp_path / "file").read_bytes() == b"x" * 1_000_000


async def test_nothing_of_ours_goes_out(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[web.Request] = []

    async def record(request: web.Request) -> web.Response:
        seen.append(request)
        response = web.Response(status=302, headers={"Location": "/next"}) if request.path == "/" else web.Response()
        response.set_cookie("session", "1")
        return response

    server = await serve(record)
    await fetcher(server).fetch_to(str(server.make_url("/")), tmp_path / "file")
    assert [request.path for request in seen] == ["/", "/next"]
    assert set(seen[1].headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


async def test_a_refused_address_gets_no_packet(inside: socket.socket, tmp_path: Path):
    url = f"http://127.0.0.1:{inside.getsockname()[1]}/"
    with pytest.raises(errors.AddressRefused, match="not a public one"):
        await Fetcher(Guard()).fetch_to(url, tmp_path / "file")
    assert_untouched(inside)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}", "http://0x7f.1:{port}", "file:///etc/passwd", "http://[", ""],
)
async def test_a_redirect_is_checked_like_the_first_url(
    serve: Serve, inside: socket.socket, tmp_path: Path, location: str
):
    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": location.format(port=inside.getsockname()[1])})

    server = await serve(redirect)
    with pytest.raises((errors.AddressRefused, errors.SourceUnavailable)):
        await fetcher(server).fetch_to(str(server.make_url("/")), tmp_path / "file")
    assert_untouched(inside)


async def test_three_redirects_are_followed_and_no_more(serve: Serve, tmp_path: Path):
    async def count_down(request: web.Request) -> web.Response:
        left = int(request.path.strip("/"))
        return (
            web.Response(text="here") if left == 0 else web.Response(status=302, headers={"Location": f"/{left - 1}"})
        )

    server = await serve(count_down)
    await fetcher(server).fetch_to(str(server.make_url("/3")), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "here"
    with pytest.raises(errors.SourceUnavailable, match="more than 3 times"):
        await fetcher(server).fetch_to(str(server.make_url("/4")), tmp_path / "other")


async def test_the_connection_goes_to_the_address_that_was_checked(serve: Serve, tmp_path: Path):
    hosts: list[str] = []

    async def greet(request: web.Request) -> web.Response:
        hosts.append(request.host)
        return web.Response(text="hello")

    server = await serve(greet)
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    await fetcher(server, resolver=names).fetch_to(f"http://rebinding.example:{server.port}/", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "hello"
    assert names.asked == [("rebinding.example", server.port)]
    assert hosts == [f"rebinding.example:{server.port}"]


async def test_one_bad_address_among_good_ones_is_enough_to_refuse():
    with pytest.raises(errors.AddressRefused):
        await check("http://example.org/", Guard(), Names(["93.184.215.14", "::ffff:10.0.0.1"]))


async def test_a_refused_url_is_not_even_looked_up():
    names = Names(["93.184.215.14"])
    with pytest.raises(errors.AddressRefused, match="port 22"):
        await check("http://example.org:22/", Guard(), names)
    assert names.asked == []


async def test_a_checked_url_comes_with_its_addresses():
    checked = await check("https://Example.org/a", Guard(), Names(["93.184.215.14", "93.184.215.14", "2606::1"]))
    assert checked == Checked("https://Example.org/a", "https", "example.org", 443, ("93.184.215.14", "2606::1"))


async def test_a_name_that_does_not_exist_is_the_source_s_fault():
    with pytest.raises(errors.SourceUnavailable, match="host is not known"):
        await check("http://nowhere.example/", Guard(), Names())


async def test_what_says_that_it_is_too_large_is_not_read(serve: Serve, tmp_path: Path):
    async def large(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 2000)

    server = await serve(large)
    with pytest.raises(errors.PayloadTooLarge):
        await fetcher(server, max_bytes=1000).fetch_to(str(server.make_url("/")), tmp_path / "file")
    assert not (tmp_path / "file").exists()


async def test_the_limit_holds_after_decompression(serve: Serve, tmp_path: Path):
    async def bomb(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})

    server = await serve(bomb)
    with pytest.raises(errors.PayloadTooLarge):
        await fetcher(server, max_bytes=10_000_000).fetch_to(str(server.make_url("/")), tmp_path / "file")


async def test_a_source_that_does_not_answer_in_time_is_unavailable(serve: Serve, tmp_path: Path):
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0)

    server = await serve(drip)
    with pytest.raises(errors.SourceUnavailable, match=r"longer than 0\.2 s"):
        await fetcher(server).fetch_to(str(server.make_url("/")), tmp_path / "file", timeout_s=0.2)
    assert not (tmp_path / "file").exists()


async def test_errors_say_what_kind_they_are(serve: Serve, tmp_path: Path):
    async def broken(request: web.Request) -> web.Response:
        if request.path == "/404":
            raise web.HTTPNotFound
        return web.Response(body=b"not gzip", headers={"Content-Encoding": "gzip"})

    server = await serve(broken)
    client, port = fetcher(server), server.port
    with pytest.raises(errors.SourceUnavailable, match="status 404"):
        await client.fetch_to(str(server.make_url("/404")), tmp_path / "file")
    with pytest.raises(errors.SourceUnavailable, match="not compressed as it says"):
        await client.fetch_to(str(server.make_url("/gzip")), tmp_path / "file")
    with pytest.raises(errors.SourceUnavailable, match="no secure connection"):
        await client.fetch_to(f"https://127.0.0.1:{port}/", tmp_path / "file")
    await server.close()
    with pytest.raises(errors.SourceUnavailable, match="no connection"):
        await client.fetch_to(f"http://127.0.0.1:{port}/", tmp_path / "file")
