"""Several HTTP processes are one server: the same models, runs and metrics whichever answers."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import psutil
import pytest

from tests.e2e.server import Server, until
from tests.services import DEFINITION, packed

MODEL = """
    import os, time

    def predict_data(data, wait_s: float = 0.0):
        time.sleep(wait_s)
        if data == "bad":
            raise ValueError
        if data == "loud":
            print("predicting, in a worker", flush=True)
        return [data, os.getpid()]

    def predict_file(path):
        return os.path.getsize(path)

    def predict(number: int = 3):
        for piece in range(number):
            yield piece

    def train(wait: bool = False):
        print("training", flush=True)
        while wait:
            time.sleep(0.05)
        return 7
"""
DATA = "/api/v1/models/{model}/predict/data"
#: Enough new connections that every process gets some.
MANY = 24

pytestmark = pytest.mark.e2e


def start(server: Server) -> Server:
    server.install("echo", MODEL)
    server.start("--http-workers", "2", "--workers-max-queue", "3", "--deepaas-debug-endpoint")
    until(lambda: server.metrics().value("http_processes") == 2)
    return server


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started once for all tests that leave it as they found it."""
    server = start(Server(tmp_path_factory.mktemp("server")))
    yield server
    server.end()


@pytest.fixture
def doomed(server: Server) -> Server:
    """A server of which a test kills something."""
    return start(server)


def counted(server: Server) -> float:
    labels = {"method": "POST", "route": DATA, "model": "echo", "status": "200"}
    return server.metrics().value("http_requests_total", **labels)


def test_all_answer_by_the_same_worker(several: Server):
    answers = [several.predict("echo", number).json["prediction"] for number in range(MANY)]
    assert [data for data, _ in answers] == list(range(MANY))
    assert len({pid for _, pid in answers}) == 1
    assert several.metrics().value("http_processes") == 2


def test_what_goes_wrong_is_told_as_by_one_process(several: Server):
    for _ in range(4):
        failed = several.predict("echo", "bad")
        assert (failed.status, failed.json["type"]) == (500, "/problems/model-failure")
    path = "/api/v1/models/echo/predict/data?wait_s=1"
    assert several.ask(path, 1, X_Timeout_S="0.1").json["type"] == "/problems/model-timeout"
    until(lambda: several.ask("/readyz").status == 200)
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda number: several.ask(path, number), range(12)))
    assert {answer.status for answer in answers} == {200, 503}
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.json["type"] == "/problems/overloaded"
    assert refused.headers["Retry-After"] == "1"


def test_what_all_have_logged_is_shown_by_each(several: Server):
    asked = [several.predict("echo", "loud").headers["X-Request-ID"] for _ in range(8)]
    several.ask("/v2/debug/")

    def shows_all() -> bool:
        shown = several.ask("/v2/debug/").body.decode()
        return shown.count("predicting, in a worker") == 8 and all(request in shown for request in asked)

    for _ in range(8):
        until(shows_all)
    assert several.ask("/v2/debug/").body.count(b"--- DEBUG MARKER ") >= 10


def test_files_and_streams_pass_through_all(several: Server):
    for _ in range(6):
        upload = several.ask("/api/v1/models/echo/predict/file", b"x" * 200_000, Content_Type="image/png")
        assert upload.json["prediction"] == 200_000
        pieces = several.ask("/api/v1/models/echo/predict?number=500", b"", Accept="application/x-ndjson")
        assert pieces.body.split() == [b"%d" % number for number in range(500)]


def test_runs_started_by_one_are_seen_and_cancelled_by_all(several: Server):
    started = [several.ask("/api/v1/models/echo/train?wait=true", b"").json["id"] for _ in range(3)]
    for _ in range(8):
        assert {run["id"] for run in several.ask("/api/v1/runs?limit=3").json["runs"]} == set(started)
    until(lambda: several.ask(f"/api/v1/runs/{started[0]}").json["state"] == "running")
    until(lambda: b"training" in several.ask(f"/api/v1/runs/{started[0]}/log").body)
    for run in started:
        assert several.ask(f"/api/v1/runs/{run}", method="DELETE").json["state"] == "cancelled"
    for _ in range(8):
        assert {run["state"] for run in several.ask("/api/v1/runs?limit=3").json["runs"]} == {"cancelled"}
    assert several.metrics().value("training_runs", state="cancelled") == 3


def test_a_run_begins_at_once_whichever_process_took_it(several: Server):
    for _ in range(4):
        run = several.ask("/api/v1/models/echo/train", b"").json["id"]
        done = until(lambda run=run: _over(several, run), within_s=10)
        assert (done["state"], done["result"]) == ("succeeded", 7)


def _over(server: Server, run: str):
    document = server.ask(f"/api/v1/runs/{run}").json
    return document if document["finished_at"] else None


def test_an_automation_is_done_once_whichever_process_was_asked(several: Server):
    service = "/api/v1/services/churn"
    archive = packed(definition=DEFINITION + '[automations.renew]\npublish = "renewed"\n')
    assert several.ask(f"{service}/generations", archive, Content_Type="application/zip").status == 201
    several.ask(f"{service}/deployment", {"version": "v1"}, "PUT")
    until(lambda: several.ask(f"{service}/endpoints/score?x=1").status == 200)

    for _ in range(6):
        assert several.ask(f"{service}/automations/renew/run", {}).status == 202

    def executions():
        return several.ask(f"{service}/executions").json["executions"]

    until(lambda: {one["state"] for one in executions()} == {"succeeded"})
    made = {one["version"] for one in executions()}
    assert len(made) == 6
    until(
        lambda: {one["version"] for one in several.ask(f"{service}/generations").json["generations"]} == made | {"v1"}
    )


def test_metrics_are_the_same_whichever_process_is_asked(several: Server):
    before = counted(several)
    for number in range(MANY):
        several.predict("echo", number)
    assert {counted(several) for _ in range(8)} == {before + MANY}


def test_a_killed_http_process_is_replaced_and_refuses_nobody(doomed: Server):
    for number in range(MANY):
        doomed.predict("echo", number)
    assert counted(doomed) == MANY
    victim = min(doomed.http_processes())
    doomed.http_processes()[victim].kill()
    until(lambda: victim not in doomed.http_processes())
    assert {doomed.predict("echo", number).status for number in range(MANY)} == {200}
    until(lambda: len(doomed.http_processes()) == 2)
    assert victim not in doomed.http_processes()
    assert counted(doomed) == 2 * MANY


def test_what_they_are_forked_from_may_be_killed(doomed: Server):
    doomed.predict("echo", 1)
    before = doomed.http_processes()
    [template] = {child.ppid() for child in before.values()}
    os.kill(template, signal.SIGKILL)
    until(lambda: len(doomed.http_processes()) == 2 and not before.keys() & doomed.http_processes().keys())
    assert {doomed.predict("echo", number).status for number in range(MANY)} == {200}


def test_one_that_cannot_be_forked_costs_no_other():
    program = """
        import os, socket, sys
        from deepaas_core import front

        def fork():
            raise BlockingIOError(11, "too many processes")

        os.fork = fork
        front.Template(socket.socket(fileno=int(sys.argv[1]))).fork_as_told()
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", textwrap.dedent(program), str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as template:
            for _ in range(2):
                socket.send_fds(ours, [b"fork"], [theirs.fileno()])
                assert json.loads(ours.recv(4096)) == {"failed": "cannot fork: too many processes"}
            theirs.close()
            ours.close()
            assert template.wait(timeout=20) == 0


def test_the_end_does_not_wait_for_what_they_are_forked_from(doomed: Server):
    family = doomed.children()
    [template] = {child.ppid() for child in doomed.http_processes().values()}
    os.kill(template, signal.SIGSTOP)
    assert doomed.stop() == 0
    until(lambda: not any(_lives(child) for child in family.values()), within_s=10)


def test_readiness_follows_the_model_in_all(several: Server):
    worker = several.predict("echo", 1).json["prediction"][1]
    os.kill(worker, signal.SIGKILL)
    until(lambda: several.predict("echo", 1).json.get("prediction", [1, worker])[1] != worker)
    until(lambda: all(several.ask("/readyz").status == 200 for _ in range(8)))


def test_nothing_is_left_when_the_main_process_is_killed(doomed: Server):
    family = doomed.children()
    assert len(doomed.http_processes()) == 2
    doomed.process.kill()
    doomed.process.wait()
    until(lambda: not any(_lives(child) for child in family.values()), within_s=10)


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_end_waits_for_what_is_in_flight(doomed: Server):
    family = doomed.children()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        asked = [threads.submit(doomed.ask, "/api/v1/models/echo/predict/data?wait_s=1", 1) for _ in range(3)]
        until(lambda: doomed.metrics().value("model_queue_length", model="echo") == 2)
        assert doomed.stop() == 0
        assert {future.result().status for future in asked} == {200}
    assert not any(_lives(child) for child in family.values())


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_second_server_does_not_share_the_port(several: Server, tmp_path, processes: str):
    second = Server(tmp_path / "second")
    (tmp_path / "second" / "site").mkdir(parents=True)
    port = several.url.rsplit(":", 1)[1]
    with pytest.raises(AssertionError, match=f"Cannot listen on 127.0.0.1 port {port}"):
        second.start("--port", port, "--http-workers", processes)
    assert second.process.returncode == 2
