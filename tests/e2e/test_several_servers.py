"""Several servers on one PostgreSQL, each with a data folder of its own, and what happens when one is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deepaas_core.executors.runs import TAG, RunProcesses
from tests.e2e.server import Server, until

pytestmark = pytest.mark.e2e
LEASE_S = 5
MODEL = """
    import os, time

    def train(path: str = "", name: str = "", password: str = None):
        print("training", name, flush=True)
        while path and not os.path.exists(path):
            time.sleep(0.05)
        from deepaas_core import run
        run.report(loss=0.5)
        (run.model_dir() / "weights").write_text(name)
        return name

    def get_train_args():
        return {
            "path": {"default": "", "type": "str"},
            "name": {"default": "", "type": "str"},
            "password": {"default": None, "type": "str", "secret": True},
        }

    def predict():
        folder = os.environ.get("DEEPAAS_CORE_MODEL_DIR")
        return open(folder + "/weights").read() if folder else None
"""


@pytest.fixture
def url(postgres) -> str:
    return postgres.with_tables()


@pytest.fixture
def new_server(tmp_path: Path, url: str) -> Iterator[Callable[..., Server]]:
    """Servers on one database."""
    servers: list[Server] = []

    def new(name: str, *settings: str) -> Server:
        folder = tmp_path / name
        folder.mkdir()
        server = Server(folder)
        servers.append(server)
        server.install("told", MODEL)
        return server.start("--store-url", url, "--training-lease-s", str(LEASE_S), *settings)

    yield new
    for server in servers:
        server.end()
        lose(server)


def lose(server: Server) -> None:
    """What becomes of a server when its machine is lost: all its processes are gone at once."""
    for process in server.presences():
        process.kill()
    with suppress(ProcessLookupError):
        server.process.kill()
    server.process.wait()
    folder = server.folder / "data" / "runs"
    for run in folder.glob("*/"):
        RunProcesses(folder)._sweep(run.name, None)


def train(server: Server, **values: str) -> str:
    answer = server.ask("/api/v1/models/told/train", values)
    assert answer.status == 202, answer.body
    return str(answer.json["id"])


def state(server: Server, run_id: str) -> str:
    return str(server.ask(f"/api/v1/runs/{run_id}").json["state"])


def wait_for(server: Server, run_id: str, wanted: str, within_s: float = 20) -> None:
    until(lambda: state(server, run_id) == wanted, within_s)


def processes_of(run_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(TAG) == run_id:
                found.append(process)
    return found


def test_one_server_works_off_what_another_took_in(new_server, tmp_path):
    go = str(tmp_path / "go")
    busy, idle = new_server("busy", "--training-max-concurrent-runs", "1"), new_server("idle")
    first, second = train(busy, path=go, name="first"), train(busy, path=go, name="second")
    wait_for(busy, second, "running")
    assert state(idle, first) == "running"
    assert b"second" in until(lambda: idle.ask(f"/api/v1/runs/{second}/log").body)
    Path(go).touch()
    for server, run_id in ((idle, first), (busy, second)):
        wait_for(server, run_id, "succeeded")
        run = server.ask(f"/api/v1/runs/{run_id}").json
        assert run["metrics"] == {"loss": 0.5}
        for part in ("log", "events", "metrics", "artifacts", "plot.svg"):
            answer = server.ask(f"/api/v1/runs/{run_id}/{part}")
            other = busy if server is idle else idle
            assert (answer.status, answer.json["type"]) == (409, "/problems/run-elsewhere"), part
            assert answer.json["server"].rstrip("/") == other.url


def test_where_a_run_is_can_be_asked_as_soon_as_its_server_takes_requests(new_server, tmp_path):
    one, two = new_server("one"), new_server("two")
    run_id = train(two, path=str(tmp_path / "go"), password="only two knows it")
    wait_for(one, run_id, "running")
    answer = one.ask(f"/api/v1/runs/{run_id}/log")
    assert (answer.status, answer.json["server"]) == (409, f"{two.url}/")


def test_what_needs_its_servers_folder_waits_for_that_server(new_server, tmp_path):
    go = str(tmp_path / "go")
    busy, idle = new_server("busy", "--training-max-concurrent-runs", "1"), new_server("idle")
    first = train(busy, path=go)
    secret = train(busy, password="swordfish")
    free = train(busy)
    wait_for(idle, free, "succeeded")
    assert [state(idle, first), state(idle, secret)] == ["running", "queued"]
    Path(go).touch()
    wait_for(idle, secret, "succeeded")


def test_a_run_is_cancelled_by_any_server(new_server, tmp_path):
    one, two = new_server("one"), new_server("two")
    run_id = train(one, path=str(tmp_path / "never"))
    wait_for(two, run_id, "running")
    assert two.ask(f"/api/v1/runs/{run_id}", method="DELETE").json["state"] == "cancelled"
    until(lambda: not processes_of(run_id), 10)
    assert state(one, run_id) == "cancelled"


@pytest.mark.slow
def test_a_run_outlives_its_server_in_the_eyes_of_the_others(new_server, tmp_path):
    go = tmp_path / "go"
    doomed, other = new_server("doomed"), new_server("other")
    run_id, cancelled = [train(doomed, path=str(go), name="done") for _ in range(2)]
    for each in (run_id, cancelled):
        wait_for(other, each, "running")
    doomed.process.kill()
    doomed.process.wait()
    long_after = time.monotonic() + LEASE_S + 3
    until(lambda: time.monotonic() > long_after or state(other, run_id) != "running")
    assert state(other, run_id) == "running"
    other.ask(f"/api/v1/runs/{cancelled}/cancel", {})
    until(lambda: not processes_of(cancelled), 10)
    go.touch()
    wait_for(other, run_id, "succeeded")
    assert other.ask(f"/api/v1/runs/{run_id}").json["result"] == "done"


@pytest.mark.slow
def test_the_runs_of_a_lost_machine_are_interrupted(new_server, tmp_path):
    doomed, other = new_server("doomed"), new_server("other", "--training-max-concurrent-runs", "1")
    never = str(tmp_path / "never")
    kept, lost = train(other, path=never), train(doomed, path=never)
    for run_id in (kept, lost):
        wait_for(other, run_id, "running")
    lose(doomed)
    wait_for(other, lost, "interrupted", LEASE_S + 10)
    run = other.ask(f"/api/v1/runs/{lost}").json
    assert run["error"]["kind"] == "lost"
    assert "sign of life" in run["error"]["message"]
    assert state(other, kept) == "running"


@pytest.mark.slow
def test_nobody_is_taken_for_lost_because_the_database_was(new_server, tmp_path, postgres):
    one, two = new_server("one"), new_server("two")
    go = tmp_path / "go"
    runs = [train(server, path=str(go)) for server in (one, two)]
    for run_id in runs:
        wait_for(one, run_id, "running")
    postgres.stop(signal.SIGQUIT)
    long_after = time.monotonic() + LEASE_S + 2
    answer = one.ask("/api/v1/models/told/train", {})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json["type"] == "/problems/store-unavailable"
    until(lambda: time.monotonic() > long_after)
    postgres.start()
    until(lambda: one.ask(f"/api/v1/runs/{runs[0]}").status == 200)
    long_after = time.monotonic() + LEASE_S + 2
    until(lambda: time.monotonic() > long_after or {state(one, each) for each in runs} != {"running"})
    assert [state(two, run_id) for run_id in runs] == ["running"] * 2
    go.touch()
    for run_id in runs:
        wait_for(two, run_id, "succeeded")


def test_servers_that_share_their_folder_of_runs_share_all_there_is(new_server, tmp_path):
    shared = ("--store-runs-dir", str(tmp_path / "runs"))
    doomed, other = new_server("doomed", *shared), new_server("other", *shared)
    run_id = train(doomed, name="mine", password="swordfish")
    wait_for(other, run_id, "succeeded")
    assert b"training mine" in other.ask(f"/api/v1/runs/{run_id}/log").body
    for server in (doomed, other):
        until(lambda server=server: server.ask("/api/v1/models/told/predict", {}).json["prediction"] == "mine")
