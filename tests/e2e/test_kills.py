"""Servers that are killed at random moments, and a client that writes down every promise it is given.

A few kills by default; ``KILLS=300 pytest tests/e2e/test_kills.py`` for hundreds, ``SEED=…`` for those of another time.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import threading
import time
import urllib.error
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server, until

KILLS = int(os.environ.get("KILLS", "2"))
SEED = int(os.environ.get("SEED", str(time.time_ns())))
#: So many promises between two kills, so that the queue is worked off by and by.
PROMISES = 6
MODEL = """
    import os, time

    def train(token: str, path: str, pause_s: float = 0.0):
        with open(path, "a") as file:
            file.write(token + "\\n")
        time.sleep(pause_s)
        return token
"""
SETTINGS = ("--training-max-concurrent-runs", "4", "--workers-startup-timeout-s", "300")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180 + 30 * KILLS)]


class Client(threading.Thread):
    """Asks for runs, cancels some, and keeps count of what it was promised.

    Attributes:
        asked: The tokens of all runs that it asked for, whether or not there was an answer.
        promised: The ids of the runs that were acknowledged, by token.
        cancelled: The ids of those whose cancelling was acknowledged.
    """

    def __init__(self, servers: Sequence[Server], path: Path, chance: random.Random):
        super().__init__(daemon=True)
        self.asked: set[str] = set()
        self.promised: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.round_is_full = threading.Event()
        self.over = threading.Event()
        self.complaints: list[Any] = []
        self._servers, self._path, self._chance = servers, path, chance
        self._left = PROMISES

    def begin_round(self) -> None:
        self.round_is_full.clear()
        self._left = PROMISES

    def run(self) -> None:
        while not self.over.is_set():
            if self._left <= 0:
                self.round_is_full.set()
                time.sleep(0.01)
                continue
            self._ask_for_one(self._chance.choice(self._servers))

    def _ask_for_one(self, server: Server) -> None:
        token = uuid.uuid4().hex
        self.asked.add(token)
        pause_s = self._chance.choice((0, 0, 0.5))
        values = {"token": token, "path": str(self._path), "pause_s": pause_s}
        answer = ask(server, "/api/v1/models/count/train", values)
        if answer is None or answer.status == 503:
            time.sleep(0.02)
            return
        if answer.status != 202:
            self.complaints.append((answer.status, answer.body))
            return
        self._left -= 1
        run_id = answer.json["id"]
        self.promised[token] = run_id
        if self._chance.random() < 0.25:
            time.sleep(self._chance.uniform(0, 0.3))
            answer = ask(server, f"/api/v1/runs/{run_id}/cancel", {})
            if answer is not None and answer.status == 200:
                self.cancelled.add(run_id)


def ask(server: Server, path: str, data: Any = None) -> Any:
    """An answer; None if the server died over it."""
    with suppress(OSError, urllib.error.URLError, http.client.HTTPException):
        return server.ask(path, data)
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(folder: Path) -> Server:
    """A server on a port that stays the same through all its lives."""
    folder.mkdir()
    server = Server(folder)
    server.install("count", MODEL)
    server.url = f"http://127.0.0.1:{free_port()}"
    return server


def launch(server: Server, *settings: str) -> None:
    server.launch("--port", server.url.rpartition(":")[2], *SETTINGS, *settings)


@pytest.fixture
def chance() -> random.Random:
    print(f"SEED={SEED}")
    return random.Random(SEED)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    made = [prepare(tmp_path / name) for name in ("one", "two")]
    yield made
    for server in made:
        if hasattr(server, "process"):
            server.end()
            for presence in server.presences():
                presence.kill()


def kill_often(servers: Sequence[Server], client: Client, chance: random.Random, *settings: str) -> None:
    """Kill one of the servers at a time, at any moment of its life: while it starts, answers, starts runs."""
    for server in servers:
        launch(server, *settings)
    client.start()
    for _ in range(KILLS):
        client.begin_round()
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0, 2.0))
        else:
            before = len(client.promised)
            until(lambda before=before: len(client.promised) > before, 60)
            time.sleep(chance.uniform(0, 0.4))
        doomed = chance.choice(servers)
        assert doomed.process.poll() is None, doomed.log
        doomed.process.send_signal(signal.SIGKILL)
        doomed.process.wait()
        launch(doomed, *settings)
    client.over.set()
    client.join()


def all_runs(server: Server) -> list[dict[str, Any]]:
    runs, following = [], "/api/v1/runs?limit=500"
    while following:
        page = server.ask(following).json
        runs += page["runs"]
        following = page["next"]
    return runs


def check(servers: Sequence[Server], client: Client, path: Path) -> None:
    """What was promised is there, came to its right end, and was executed once; nothing else was executed."""
    server = servers[0]
    until(lambda: (answer := ask(server, "/readyz")) and answer.status == 200, 60)
    until(lambda: not {run["state"] for run in all_runs(server)} & {"queued", "running"}, 60 + 2 * KILLS)
    assert client.complaints == []
    runs = {run["id"]: run for run in all_runs(server)}
    path.touch()  # by chance, all may have been cancelled before they did anything
    executed = Counter(path.read_text().split())
    assert set(client.promised.values()) <= set(runs)
    assert client.cancelled <= {run_id for run_id, run in runs.items() if run["state"] == "cancelled"}
    assert set(executed) <= client.asked
    for run_id, run in runs.items():
        token = run["arguments"]["token"]
        assert token in client.asked
        if run["state"] == "succeeded":
            assert (executed[token], run["result"]) == (1, token), run
        else:
            assert run["state"] == "cancelled", run
            assert executed[token] <= 1, run_id
    print(f"{KILLS} kills, {len(client.promised)} promises, {len(client.cancelled)} cancelled, {len(runs)} runs")


def test_every_promise_outlives_every_kill(servers, chance, tmp_path):
    server, path = servers[0], tmp_path / "executed"
    client = Client([server], path, chance)
    kill_often([server], client, chance)
    check([server], client, path)
    until(lambda: folders(server) == {run["id"] for run in all_runs(server)})  # it tidies up while it answers


def folders(server: Server) -> set[str]:
    return {folder.name for folder in (server.folder / "data" / "runs").iterdir() if folder.is_dir()}


def test_every_promise_of_two_servers_on_one_database_outlives_every_kill(servers, chance, tmp_path, postgres):
    url = postgres.with_tables()
    path = tmp_path / "executed"
    client = Client(servers, path, chance)
    kill_often(servers, client, chance, "--store-url", url)
    check(servers, client, path)
    for run_id in list(client.promised.values())[:10]:
        assert until(lambda run_id=run_id: ask(servers[1], f"/api/v1/runs/{run_id}")).status == 200
