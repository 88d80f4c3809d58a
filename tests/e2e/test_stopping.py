"""The end in good order: whoever had reached the server before it was told to stop is answered."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.e2e.server import Server

BODY = b'{"data": 1}'
REQUEST = (
    b"POST /api/v1/models/echo/predict/data HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
NUMBER = 60

pytestmark = pytest.mark.e2e


@pytest.fixture
def clients(serving: Server) -> Iterator[Callable[[], socket.socket]]:
    """Makes connections, and closes them in the end."""
    where = urlsplit(serving.url)
    with ExitStack() as opened:
        yield lambda: opened.enter_context(socket.create_connection((where.hostname, where.port), timeout=20))


@pytest.fixture(params=["1", "2"], ids=["one-process", "two-http-processes"])
def serving(server: Server, request) -> Server:
    server.install("echo", "def predict_data(data): return data")
    return server.start("--http-workers", request.param)


def answer(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def stop_while(server: Server, act) -> None:
    """Tell the server to end; whatever is done by ``act`` it finds when it wakes up to hear that."""
    answering = [child.pid for child in server.http_processes().values()] or [server.process.pid]
    for pid in answering:
        os.kill(pid, signal.SIGSTOP)
    act()
    server.process.send_signal(signal.SIGTERM)
    for pid in answering:
        os.kill(pid, signal.SIGCONT)


def test_connections_that_wait_to_be_accepted_are_answered(serving: Server, clients):
    connections = []

    def act() -> None:
        for _ in range(NUMBER):
            connections.append(clients())
            connections[-1].sendall(REQUEST)

    stop_while(serving, act)
    answers = [answer(connection) for connection in connections]
    assert [one[:12] for one in answers] == [b"HTTP/1.1 200"] * NUMBER
    assert serving.process.wait(timeout=20) == 0


def test_who_connected_is_answered_even_if_all_processes_are_told_to_end_while_they_start(server: Server):
    server.within = ("setsid",)
    server.install("echo", "def predict_data(data): return data")
    server.start("--http-workers", "2")
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(REQUEST)
        os.killpg(server.process.pid, signal.SIGTERM)
        assert answer(connection).startswith(b"HTTP/1.1 ")
    assert server.process.wait(timeout=40) == 0


def test_requests_on_open_connections_are_answered(serving: Server, clients):
    connections = [clients() for _ in range(NUMBER)]
    for connection in connections:
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")

    def act() -> None:
        for connection in connections:
            connection.sendall(REQUEST)

    stop_while(serving, act)
    answers = [answer(connection) for connection in connections]
    assert [one[:12] for one in answers] == [b"HTTP/1.1 200"] * NUMBER
    assert serving.process.wait(timeout=20) == 0


def test_an_idle_connection_does_not_hold_the_end_up(serving: Server, clients):
    idle = clients()
    idle.sendall(REQUEST)
    assert idle.recv(65536).startswith(b"HTTP/1.1 200")
    assert serving.stop() == 0
    assert answer(idle) == b""
