"""Which URLs and addresses pass, and that a model's own connections are held to the same rules."""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepaas_core.executors.worker.guard import Guard, Refused, guarding

GUARD = Guard()


@pytest.mark.parametrize(
    "url, parts",
    [
        ("http://example.org/a?b#c", ("http", "example.org", 80)),
        ("HTTPS://Example.ORG", ("https", "example.org", 443)),
        ("https://example.org.:443/", ("https", "example.org", 443)),
        ("http://example.org?x=1", ("http", "example.org", 80)),
        ("http://xn--mnchen-3ya.de/ü@b", ("http", "xn--mnchen-3ya.de", 80)),
        ("http://93.184.215.14/", ("http", "93.184.215.14", 80)),
        ("http://[2606:2800:220:1::1]:80/", ("http", "2606:2800:220:1::1", 80)),
    ],
)
def test_a_plain_public_url_passes(url: str, parts: tuple[str, str, int]):
    assert GUARD.check_url(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "//example.org/", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/",
        "http:example.org", "http:/example.org", "http:///example.org", "http://", "http://:80/", "http://?x",
        "https://./",
        "http://user@example.org/", "http://user:pw@example.org/", "http://good.org@evil.org/", "http://a?@b/",
        "http://a#@b/",
        "http://good.org\\@evil.org/", "http://example.org\\a", "http://exam\tple.org/",
        "http://example.org/a\r\nHost: b",
        " http://example.org/", "http://example.org/ ", "http://example.org/\u2028", "http://example.org/\ud800",
        "http://example.org:22/", "http://example.org:0/", "http://example.org:/", "http://example.org:080/",
        "http://example.org:65616/", "http://example.org:80:80/", "http://example.org:٨٠/", "http://example.org:+80/",
        "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://017700000001/", "http://127.1/",
        "http://127.0.0.01/", "http://1.2.3/", "http://1.2.3.4./", "http://93.184.215.256/", "http://a.0x1/",
        "http://%31%32%37.0.0.1/", "http://exa%6dple.org/", "http://[fe80::1%25eth0]/", "http://[::1]extra/",
        "http://[1.2.3.4]/",
        "http://[v1.a]/", "http://ｅxample.org/", "http://example。org/", "http://①②⑦.0.0.1/", "http://a..b/",
        "http://.a/", "http://a../",
        "http://" + "a" * 64 + ".org/", "http://example.org/" + "a" * 9000,
        "http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
    ],
)  # fmt: skip
def test_whatever_is_not_public_or_can_be_read_in_two_ways_is_refused(url: str):
    with pytest.raises(Refused):
        GUARD.check_url(url)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "169.254.169.254", "172.31.0.1",
        "192.0.0.192",
        "192.168.1.1", "198.18.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1",
        "fd00:ec2::254",
        "ff02::1", "fec0::1", "2001:db8::1", "100::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "64:ff9b:1::8.8.8.8", "2001:0:a00:1::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "2001:0:808:808:0:0:80ff:fffe",
        "2606::5efe:10.0.0.1", "2606::200:5efe:127.0.0.1", "3fff::1", "5f00::1", "4000::1", "2606::1%1",
        "localhost", "127.1", "",
    ],
)  # fmt: skip
def test_only_global_unicast_addresses_pass(address: str):
    with pytest.raises(Refused):
        GUARD.check_address(address, 443)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_public_addresses_pass_plain_or_translated(address: str):
    GUARD.check_address(address, 80)
    with pytest.raises(Refused, match="port 8080"):
        GUARD.check_address(address, 8080)


def test_exceptions_let_through_exactly_what_they_name():
    guard = Guard(
        allow=("10.0.0.0/8", "192.168.1.0/24:8080", "minio.local", "files.local:9000", "[fd00::/8]:81", "*:8443")
    )
    guard.check_address("10.1.2.3", 5000)
    guard.check_address("::ffff:10.1.2.3", 5000)
    guard.check_address("192.168.1.7", 8080)
    guard.check_address("fd00::1", 81)
    guard.check_address("8.8.8.8", 8443)
    guard.check_address("127.0.0.1", 5000, host="Minio.Local.")
    guard.check_address("127.0.0.1", 9000, host="files.local")
    for address, port, host in [
        ("192.168.1.7", 80, None), ("192.168.2.7", 8080, None), ("fd00::1", 80, None), ("127.0.0.1", 8443, None),
        ("127.0.0.1", 9001, "files.local"), ("127.0.0.1", 80, "evil.minio.local"), ("8.8.8.8", 5000, None),
    ]:  # fmt: skip
        with pytest.raises(Refused):
            guard.check_address(address, port, host=host)
    assert guard.check_url("http://minio.local:9000/bucket") == ("http", "minio.local", 9000)


@pytest.mark.parametrize(
    "entry", ["", "*", "a b", "host:", "host:x", "host:70000", "10.0.0.0/99", "http://host", "127.1"]
)
def test_an_exception_that_cannot_be_read_is_an_error(entry: str):
    with pytest.raises(ValueError):
        Guard(allow=(entry,))


def test_a_guard_that_is_off_lets_every_address_through():
    off = Guard(enabled=False)
    assert off.check_url("http://127.0.0.1:8080/") == ("http", "127.0.0.1", 8080)
    off.check_address("169.254.169.254", 1)
    with pytest.raises(Refused):
        off.check_url("file:///etc/passwd")


def test_a_guard_survives_the_way_to_a_worker():
    guard = Guard(allow=("10.0.0.0/8:80", "host"))
    assert Guard.from_plain(guard.to_plain()) == guard
    assert Guard.from_plain({}) == Guard()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that nobody must connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def assert_untouched(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_refused_connection_sends_no_packet_and_is_remembered(listener: socket.socket):
    with guarding(GUARD) as watch, pytest.raises(Refused):
        socket.create_connection(listener.getsockname())
    assert "not a public one" in str(watch.refusal)
    assert_untouched(listener)
    socket.create_connection(listener.getsockname()).close()


def test_a_model_s_threads_and_its_loop_are_held_to_the_guard_too(listener: socket.socket):
    host, port = listener.getsockname()
    with ThreadPoolExecutor(1) as threads, guarding(GUARD):
        with pytest.raises(Refused):
            threads.submit(socket.create_connection, (host, port)).result()
        with pytest.raises(Refused):
            asyncio.run(asyncio.open_connection(host, port))
    assert_untouched(listener)


def test_datagrams_and_connections_by_name_are_refused():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, guarding(GUARD):
        with pytest.raises(Refused):
            datagrams.sendto(b"x", ("127.0.0.1", 9))
        with pytest.raises(Refused):
            datagrams.connect(("localhost", 9))


def test_sockets_of_this_machine_and_allowed_addresses_connect(listener: socket.socket):
    host, port = listener.getsockname()
    here, there = socket.socketpair()
    with here, there, guarding(Guard(allow=(f"{host}:{port}",))) as watch:
        here.send(b"x")
        socket.create_connection((host, port)).close()
    with guarding(Guard(allow=(f"localhost:{port}",))):
        socket.create_connection((host, port)).close()
    assert watch.refusal is None


def test_off_the_main_thread_only_that_thread_is_held_to_the_guard(listener: socket.socket):
    entered, leave = threading.Event(), threading.Event()

    def call() -> None:
        with guarding(GUARD) as watch:
            with pytest.raises(Refused):
                socket.create_connection(listener.getsockname())
            assert watch.refusal is not None
            entered.set()
            leave.wait(10)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(call)
        assert entered.wait(10)
        socket.create_connection(listener.getsockname()).close()
        leave.set()
        running.result()


def test_a_redirect_that_the_model_s_library_follows_is_refused(listener: socket.socket):
    host, port = listener.getsockname()

    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://{host}:{port}/inside")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirect) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        with guarding(Guard(allow=(f"127.0.0.1:{server.server_port}",))) as watch, pytest.raises(Refused):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"http://127.0.0.1:{server.server_port}/", timeout=5
            )
        serving.join()
    assert watch.refusal is not None
    assert_untouched(listener)
