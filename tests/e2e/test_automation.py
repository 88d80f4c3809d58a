"""A service that trains, checks, publishes and deploys by itself, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands import typed
from tests.e2e.server import ROOT, Server, until

pytestmark = pytest.mark.e2e

SCRIPT = """
import json, os, pathlib

MODEL = pathlib.Path(__file__).with_name("model") / "model.json"

def predict(amount: float) -> float:
    return amount * json.loads(MODEL.read_text())["factor"]

def train(factor: float = 2.0, accuracy: float = 0.9):
    from deepaas_core import run
    run.report(accuracy=accuracy)
    (run.model_dir() / "model.json").write_text(json.dumps({"factor": factor}))
    return {"accuracy": accuracy}
"""
SERVICE = """
name = "double"

[endpoints.predict]
kind = "prediction"
script = "double.py:predict"
inputs = { amount = "number" }
outputs = { doubled = "number" }

[log]
log = "full"

[[tests]]
endpoint = "predict"
rows = [{ amount = 1 }]

[automations.renew]
train = "double.py:train"
arguments = { factor = 3.0 }
check = ["accuracy >= 0.8"]
publish = "auto_deploy_api"
deploy = 1.0

[automations.worse]
train = "double.py:train"
arguments = { accuracy = 0.5 }
check = ["accuracy >= 0.8"]
publish = "worse"
deploy = 1.0

[automations.watch]
drift = { reference = "known.csv", endpoint = "predict", at_least = 50 }
"""
PREDICT = "/api/v1/services/double/endpoints/predict/predict"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the service; its generation ``v1`` is live."""
    folder = tmp_path_factory.mktemp("automation")
    (folder / "site").mkdir()
    service = folder / "double"
    (service / "model").mkdir(parents=True)
    (service / "double.py").write_text(SCRIPT)
    (service / "service.toml").write_text(SERVICE)
    (service / "model" / "model.json").write_text('{"factor": 2.0}')
    (service / "known.csv").write_text("amount\n" + "".join(f"{number % 100}\n" for number in range(1000)))
    server = Server(folder)
    server.install("unused", "def predict(): return 1")
    server.start()
    command(server, "deploy", str(service))
    yield server
    server.end()


def command(server: Server, *arguments: str, code: int = 0) -> str:
    """What a command prints, which ends with this code."""
    done = typed(*arguments, "--server", server.url, folder=ROOT)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def predicted(server: Server, amount: float) -> tuple[str, float]:
    answer = server.ask(PREDICT, {"amount": amount}).json
    return answer["generation"], answer["rows"][0]["doubled"]


def last(server: Server, automation: str) -> dict[str, Any]:
    listed = server.ask("/api/v1/services/double/automations").json["automations"]
    [found] = [one for one in listed if one["name"] == automation]
    return found["last"]


def test_a_new_model_is_trained_checked_published_and_deployed(server: Server):
    assert predicted(server, 5) == ("v1", 10)

    said = command(server, "automate", "double", "renew")

    assert [line.split()[:2] for line in said.splitlines()] == [
        ["✓", "train"],
        ["✓", "check"],
        ["✓", "publish"],
        ["✓", "deploy"],
    ]
    assert "accuracy is 0.9 (accuracy >= 0.8)" in said
    assert predicted(server, 5) == ("auto_deploy_api", 15)
    assert last(server, "renew")["version"] == "auto_deploy_api"
    assert "renew" in command(server, "automations", "double")


def test_a_failed_check_stops_it(server: Server):
    live = predicted(server, 5)

    said = command(server, "automate", "double", "worse", code=1)

    assert "accuracy is 0.5, which is not accuracy >= 0.8." in said
    assert [step["state"] for step in last(server, "worse")["steps"]] == ["done", "failed", "left_out", "left_out"]
    assert "worse, check: accuracy is 0.5, which is not" in command(server, "automations", "double")
    assert predicted(server, 5) == live
    assert "worse" not in server.ask("/api/v1/services/double").json["generations"]


def test_drift_is_noticed_and_its_absence_lets_pass(server: Server):
    def ask_for(amounts: list[int]) -> None:
        before = entries(server)
        rows = [{"amount": amount} for amount in amounts]
        assert server.ask(PREDICT, {"rows": rows}).status == 200
        until(lambda: entries(server) >= before + len(rows))

    ask_for(list(range(0, 100, 1)))
    assert "look like known.csv" in command(server, "automate", "double", "watch")

    ask_for([90 + number % 30 for number in range(300)])
    assert "drifted from known.csv: amount" in command(server, "automate", "double", "watch", code=1)


def entries(server: Server) -> Any:
    return server.ask("/api/v1/services/double/statistics").json["total"]


def test_what_is_not_there_is_told(server: Server):
    answer = server.ask("/api/v1/services/double/automations/nightly/run", {}, "POST")

    assert (answer.status, answer.json["type"]) == (404, "/problems/automation-not-found")
    assert server.ask("/api/v1/services/none/automations").status == 404
    assert server.ask("/api/v1/services/double/executions/" + "0" * 32).status == 404
