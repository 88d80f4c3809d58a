"""Training as people live it with the real server: watched through a crash, served when good enough, cancelled."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.server import Server, until

pytestmark = pytest.mark.e2e
MODEL = """
import os, signal, subprocess, sys, time
from deepaas_core import run

def train(epochs: int = 3, accuracy: float = 0.5, until: str = "", fork: bool = False, password: str = None):
    for epoch in range(epochs):
        run.report(epoch=epoch, accuracy=accuracy)
        run.progress(epoch + 1, epochs)
    if fork:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(3):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, env={})
        print("settled", flush=True)
    while fork or until and not os.path.exists(until):
        time.sleep(0.02)
    for epoch in range(epochs, 2 * epochs):
        run.report(epoch=epoch, accuracy=accuracy)
    (run.model_dir() / "accuracy").write_text(str(accuracy))
    return {"accuracy": accuracy}

def _load():
    path = run.model_dir() and run.model_dir() / "accuracy"
    return path.read_text() if path and path.exists() else "installed"

SERVED = _load()

def predict_data(data):
    return SERVED

def get_train_args():
    text = {"default": None, "nullable": True, "type": "str"}
    return {
        "epochs": {"default": 3, "type": "int"}, "accuracy": {"default": 0.5, "type": "float"},
        "until": {"default": "", "type": "str"}, "fork": {"default": False, "type": "bool"},
        "password": {**text, "secret": True},
    }
"""


def train(server: Server, **arguments: object) -> dict:
    condition = arguments.pop("promote_if", None)
    headers = {"X-Promote-If": condition} if condition else {}
    answer = server.ask("/api/v1/models/learner/train", arguments, **headers)
    assert answer.status == 202, answer.body
    return answer.json


def over(server: Server, run: dict) -> dict:
    path = f"/api/v1/runs/{run['id']}"
    ended = until(lambda: (now := server.ask(path).json)["finished_at"] and now)
    assert ended["state"] == "succeeded", ended
    return ended


def events(server: Server, run: dict, last: str | None = None) -> Iterator[tuple[str, str, dict]]:
    """The events of a run as a browser reads them: id, event, data; they end when the connection does."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET", f"/api/v1/runs/{run['id']}/events", headers={"Last-Event-ID": last} if last else {})
    message: dict[str, str] = {"id": last or ""}
    try:
        for line in connection.getresponse():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            message[name] = value
            if name == "data":
                yield message["id"], message["event"], json.loads(value)
    except (http.client.HTTPException, ConnectionError):
        return
    finally:
        connection.close()


def test_who_watches_through_a_crash_of_the_server_misses_nothing(server, tmp_path):
    server.install("learner", MODEL)
    server.start()
    run = train(server, epochs=5, until=str(tmp_path / "go"))
    before = []
    for message in events(server, run):
        before.append(message)
        if message[1] == "progress" and message[2]["done"] == 5:
            server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.start()
    (tmp_path / "go").touch()
    seen = [(event, data) for _, event, data in (*before, *events(server, run, before[-1][0]))]
    assert [data["epoch"] for event, data in seen if event == "metrics"] == list(range(10))
    assert [data["done"] for event, data in seen if event == "progress"] == [1, 2, 3, 4, 5]
    assert (seen[-1][0], seen[-1][1]["state"]) == ("end", "succeeded")


def test_no_request_is_lost_while_trained_models_take_their_places(server):
    server.install("learner", MODEL)
    server.start()
    answers, stop = [], threading.Event()

    def ask_on() -> None:
        while not stop.is_set():
            answer = server.predict("learner", 1)
            answers.append((answer.status, answer.json.get("prediction")))

    asking = [threading.Thread(target=ask_on) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        first = over(server, train(server, accuracy=0.5))
        until(lambda: (200, "0.5") in answers)
        worse = over(server, train(server, accuracy=0.4, promote_if="accuracy >= 0.9"))
        better = over(server, train(server, accuracy=0.95, promote_if="accuracy >= 0.9"))
        until(lambda: (200, "0.95") in answers)
        assert server.ask("/api/v1/models/learner/serve", {"run": first["id"]}).status == 200
        assert server.ask("/api/v1/models/learner").json["serving"] == {"run": first["id"]}
        assert server.predict("learner", 1).json["prediction"] == "0.5"
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert (worse["promote_if"]["met"], better["promote_if"]["met"]) == (False, True)
    assert {status for status, _ in answers} == {200}
    served = [answer for _, answer in answers]
    assert set(served) == {"installed", "0.5", "0.95"}


def test_a_cancelled_run_leaves_nothing_however_stubborn_it_is(server):
    server.install("learner", MODEL)
    server.start()
    run = train(server, fork=True)
    until(lambda: b"settled" in server.ask(f"/api/v1/runs/{run['id']}/log").body)
    family = [
        process
        for leader in psutil.process_iter(["cmdline"])
        if any(run["id"] in part for part in leader.info["cmdline"] or ())
        for process in (leader, *leader.children(recursive=True))
    ]
    assert len(set(family)) >= 5
    assert server.ask(f"/api/v1/runs/{run['id']}/cancel", {}).json["state"] == "cancelled"
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_secret_is_nowhere_to_be_seen_and_asked_for_again(server, tmp_path):
    server.install("learner", MODEL)
    server.start()
    run = over(server, train(server, password="swordfish"))
    shown = [server.ask(f"/api/v1/runs{path}").body for path in ("", f"/{run['id']}", f"/compare?ids={run['id']}")]
    refused = server.ask(f"/api/v1/runs/{run['id']}/retry", {})
    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == "/arguments/password"
    again = server.ask(f"/api/v1/runs/{run['id']}/retry", {"arguments": {"password": "swordfish"}})
    assert again.status == 202
    over(server, again.json)
    kept = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not [content for content in (*shown, *kept, server.log.encode()) if b"swordfish" in content]
