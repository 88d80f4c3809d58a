"""Who leaves takes back what was asked, whichever process had been asked; and what a killed server leaves behind."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.server import Server, until

MODEL = """
    import os, time

    NOTES = os.path.join(os.path.dirname(__file__), "notes.txt")

    def note(text):
        with open(NOTES, "a") as file:
            file.write(text + "\\n")

    def predict_data(data, wait_s: float = 0.0):
        note(f"began {data}")
        time.sleep(wait_s)
        return data

    def predict(number: int = 10**9):
        try:
            for piece in range(number):
                yield "x" * 1000
        finally:
            note("closed")
"""

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["1", "2"], ids=["one-process", "two-http-processes"])
def serving(server: Server, request) -> Server:
    server.install("noting", MODEL)
    return server.start("--http-workers", request.param)


def notes(server: Server) -> list[str]:
    path = Path(server.folder / "site" / "notes.txt")
    return path.read_text().splitlines() if path.exists() else []


def post(server: Server, path: str, body: bytes, *headers: bytes) -> socket.socket:
    where = urlsplit(server.url)
    connection = socket.create_connection((where.hostname, where.port), timeout=20)
    head = [b"POST /api/v1/models/noting/%b HTTP/1.1" % path.encode(), b"Host: x", *headers]
    head += [b"Content-Type: application/json", b"Content-Length: %d" % len(body), b"", body]
    connection.sendall(b"\r\n".join(head))
    return connection


def waiting(server: Server) -> float:
    return server.metrics().value("model_queue_length", model="noting")


def test_a_call_whose_client_leaves_before_it_begins_never_begins(serving: Server):
    with post(serving, "predict/data?wait_s=1.5", b'{"data": "slow"}'):
        until(lambda: notes(serving) == ["began slow"])
        with post(serving, "predict/data", b'{"data": "left"}'):
            until(lambda: waiting(serving) == 1)
        until(lambda: waiting(serving) == 0)
    assert serving.predict("noting", "next").status == 200
    assert notes(serving) == ["began slow", "began next"]


def test_a_stream_whose_client_leaves_is_closed_in_the_model(serving: Server):
    with post(serving, "predict", b"{}", b"Accept: application/x-ndjson") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert connection.recv(1000)
    until(lambda: notes(serving) == ["closed"])
    assert serving.predict("noting", 1).status == 200


def test_nothing_is_left_of_a_server_that_is_killed_while_it_works(serving: Server):
    family = serving.children()
    with post(serving, "predict/data?wait_s=60", b'{"data": "slow"}'):
        until(lambda: notes(serving) == ["began slow"])
        serving.process.kill()
        serving.process.wait()
        until(lambda: not any(_lives(child) for child in family.values()), within_s=10)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
