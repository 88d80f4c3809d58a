"""SIGHUP: what is served becomes what is installed by now, and no request is lost on the way."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.e2e.server import Server, until

V1 = """
    import time

    def predict_data(data):
        time.sleep(0.002)
        return ["one", data]
"""
V2 = """
    import time

    def predict_data(data, unit: str = "km"):
        time.sleep(0.002)
        return ["two", data, unit]
"""
BROKEN = "def predict_data(data:\n    return 'three'\n"

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["1", "2"], ids=["one-process", "two-http-processes"])
def serving(server: Server, request) -> Server:
    server.install("road", V1, "1.0")
    return server.start("--http-workers", request.param, "--workers", "2")


def hang_up(server: Server) -> None:
    server.process.send_signal(signal.SIGHUP)


def version(server: Server, model: str = "road") -> str:
    return server.ask(f"/api/v1/models/{model}").json["metadata"]["version"]


def everywhere(condition) -> bool:
    """Whether it holds for many connections, and so in every process that answers."""
    return all(condition() for _ in range(8))


@contextmanager
def callers(server: Server):
    """Callers that never pause; gives what they were answered."""
    answers: list = []
    enough = threading.Event()

    def call() -> None:
        while not enough.is_set():
            answers.append(server.predict("road", 1))

    with ThreadPoolExecutor(6) as threads:
        calling = [threads.submit(call) for _ in range(6)]
        try:
            until(lambda: len(answers) > 20)
            yield answers
            count = len(answers)
            until(lambda: len(answers) > count + 20)
        finally:
            enough.set()
    for future in calling:
        future.result()


def test_a_new_version_is_loaded_and_no_request_is_lost(serving: Server):
    with callers(serving) as answers:
        serving.install("road", V2, "2.0")
        hang_up(serving)
        until(lambda: everywhere(lambda: version(serving) == "2.0"))
    assert {answer.status for answer in answers} == {200}
    said = [(answer.json["prediction"][0], answer.json["version"]) for answer in answers]
    assert {said[0], said[-1]} == {("one", "1.0"), ("two", "2.0")}
    document = serving.ask("/openapi.json").json
    names = [one["name"] for one in document["paths"]["/api/v1/models/road/predict/data"]["post"]["parameters"]]
    assert "unit" in names


def test_code_that_does_not_start_leaves_the_old_workers_and_says_so(serving: Server):
    with callers(serving) as answers:
        code = serving.install("road", BROKEN, "2.0")
        hang_up(serving)
        until(lambda: "model not renewed" in serving.log)
    assert {answer.status for answer in answers} == {200}
    assert answers[-1].json["prediction"] == ["one", 1]
    assert version(serving) == "1.0"
    until(lambda: everywhere(lambda: "SyntaxError" in serving.ask("/readyz").json["models"]["road"].get("reason", "")))
    assert serving.ask("/readyz").json["models"]["road"]["state"] == "ready"
    assert code.name in serving.log
    serving.install("road", V2, "2.1")
    hang_up(serving)
    until(lambda: everywhere(lambda: version(serving) == "2.1"))
    assert serving.ask("/readyz").json == {"status": "ready", "models": {"road": {"state": "ready"}}}


def test_a_model_that_never_started_is_tried_at_once(server: Server):
    server.install("road", BROKEN)
    server.start()
    assert server.ask("/readyz").status == 503
    server.install("road", V1, "1.1")
    hang_up(server)
    until(lambda: server.ask("/readyz").status == 200)
    until(lambda: version(server) == "1.1")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_model_that_is_new_is_offered_and_one_that_is_gone_is_kept(server: Server, processes: str):
    server.install("road", V1)
    server.all_models = True
    server.start("--http-workers", processes)
    server.install("rail", V1)
    (server.folder / "site" / "model_road.dist-info" / "entry_points.txt").write_text("")
    hang_up(server)
    until(lambda: everywhere(lambda: server.predict("rail", 1).status == 200))
    until(lambda: "No installed package declares it any more." in server.log)
    assert everywhere(lambda: server.predict("road", 1).json["prediction"] == ["one", 1])
    assert "No installed package" in server.ask("/readyz").json["models"]["road"]["reason"]
