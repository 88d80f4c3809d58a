"""Services of the real server: over crashes, several HTTP processes, several servers, and under load."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.server import Server, until
from tests.services import answering, checked, packed

pytestmark = pytest.mark.e2e
SERVICE = "/api/v1/services/churn"
CALL = f"{SERVICE}/endpoints/score"


def publish(server: Server, archive: bytes, **query: str) -> str:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = server.ask(f"{SERVICE}/generations?{asked}", archive, Content_Type="application/zip")
    assert answer.status == 201, answer.body
    return str(answer.json["version"])


def settled(server: Server, answer: Any) -> Any:
    assert answer.status == 202, answer.body
    path = answer.json["links"]["self"]
    return until(lambda: (found := server.ask(path).json)["state"] in ("live", "failed") and found)


def deploy(server: Server, **shares: float) -> Any:
    return settled(server, server.ask(f"{SERVICE}/deployment", {"shares": shares}, "PUT"))


def call(server: Server, path: str = CALL, **headers: str) -> tuple[str, Any]:
    """The generation that answered, and what it said."""
    answer = server.ask(path, {}, **headers)
    assert answer.status == 200, answer.body
    assert answer.headers["X-Service-Generation"] == answer.json["generation"]
    return answer.json["generation"], answer.json["result"]


def live(server: Server) -> dict[str, float]:
    return dict(server.ask(f"{SERVICE}/deployment").json["shares"])


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_service_is_published_switched_split_and_rolled_back(server: Server, processes: str):
    server.start("--http-workers", processes, "--services-idle-s", "1")
    for n in (1, 2):
        assert publish(server, answering(n)) == f"v{n}"
    assert deploy(server, v1=1)["state"] == "live"
    until(lambda: call(server) == ("v1", 1))
    assert deploy(server, v1=0.5, v2=0.5)["state"] == "live"
    until(lambda: {call(server) for _ in range(20)} == {("v1", 1), ("v2", 2)})
    for key in "abc":
        assert len({call(server, X_Dispatch_Key=key) for _ in range(8)}) == 1
    assert call(server, X_Generation="v1") == ("v1", 1)
    assert call(server, f"{SERVICE}/generations/v2/endpoints/score") == ("v2", 2)
    assert deploy(server, v2=1)["state"] == "live"
    until(lambda: {call(server) for _ in range(10)} == {("v2", 2)})
    until(lambda: server.ask(f"{SERVICE}/generations/v1").json["state"] == "stopped")
    assert call(server, X_Generation="v1") == ("v1", 1)  # it is brought up because it is asked for
    assert settled(server, server.ask(f"{SERVICE}/rollback", {}))["state"] == "live"
    until(lambda: {call(server) for _ in range(20)} == {("v1", 1), ("v2", 2)})
    server.ask(f"{SERVICE}/disable", {})
    until(lambda: server.ask(CALL, {}).status == 503)
    until(lambda: all(server.ask(CALL, {}).status == 503 for _ in range(6)))
    assert server.stop() == 0


def test_what_is_live_is_live_after_a_restart_before_the_server_is_ready(server: Server):
    server.start()
    publish(server, packed("import time\ntime.sleep(1)\ndef predict():\n    return 1\n"))
    deploy(server, v1=1)
    server.process.kill()
    server.process.wait()
    server.start()
    assert server.ask("/readyz").status == 200
    assert call(server) == ("v1", 1)


def test_a_rollout_that_a_crash_has_cut_short_has_failed(server: Server):
    server.start()
    publish(server, answering(1))
    deploy(server, v1=1)
    publish(server, packed("import time\ntime.sleep(60)\ndef predict():\n    return 2\n"))
    asked = server.ask(f"{SERVICE}/deployment", {"version": "v2"}, "PUT").json
    server.process.kill()
    server.process.wait()
    server.start()
    rollout = server.ask(asked["links"]["self"]).json
    assert rollout["state"] == "failed"
    assert "server ended" in rollout["reason"]
    assert (live(server), call(server)) == ({"v1": 1.0}, ("v1", 1))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives_a_kill_at_any_moment(server: Server):
    chance = random.Random(11)
    server.start()
    published: list[str] = []
    acknowledged: dict[str, float] = {}
    tried: list[dict[str, float]] = [{}]
    for _ in range(4):
        killer = threading.Timer(chance.uniform(0, 1.2), server.process.kill)
        killer.start()
        with suppress(urllib.error.URLError, ConnectionError, AssertionError, TimeoutError, json.JSONDecodeError):
            while True:
                published.append(publish(server, answering(len(published))))
                newest = {published[-1]: 1.0}
                tried.append(newest)
                if deploy(server, **newest)["state"] == "live":
                    acknowledged = newest
        killer.join()
        server.process.wait()
        server.start()
        generations = [one["version"] for one in server.ask(f"{SERVICE}/generations").json.get("generations", [])]
        assert set(published) <= set(generations)
        assert len(set(generations)) == len(generations)
        published = generations
        if not generations:
            continue
        found = live(server)
        assert found in tried
        assert tried.index(found) >= tried.index(acknowledged)
        acknowledged = found
        for rollout in server.ask(f"{SERVICE}/rollouts").json["rollouts"]:
            assert rollout["state"] in ("live", "failed")
        if found:
            assert call(server)[0] in found
        for version in generations[-3:]:
            assert server.ask(f"{SERVICE}/generations/{version}/archive").status == 200
    assert not list((server.folder / "data" / "unpacked").glob(".*.part"))


class Load:
    """Callers that never stop, and what they were answered."""

    def __init__(self, server: Server, callers: int):
        self.answers: Counter[Any] = Counter()
        self.failures: list[Any] = []
        self._server = server
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(callers)
        self._callers = [self._pool.submit(self._go_on) for _ in range(callers)]

    def _go_on(self) -> None:
        while not self._over.is_set():
            try:
                self.answers[call(self._server)] += 1
            except Exception as error:
                self.failures.append(error)

    def stop(self) -> None:
        self._over.set()
        self._pool.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_no_request_is_lost_or_misled_by_switches_rollbacks_and_bad_generations(server: Server, processes: str):
    server.start("--http-workers", processes, "--no-web-access-log", "--services-idle-s", "0.5")
    for n in (1, 2):
        publish(server, answering(n))
    publish(server, packed("import no_such_module\n\ndef predict(): ...\n"))
    publish(server, checked(expected=1, answer=4))
    deploy(server, v1=1)
    until(lambda: call(server) == ("v1", 1))
    load = Load(server, 3)
    try:
        assert deploy(server, v2=1)["state"] == "live"
        assert deploy(server, v3=1)["state"] == "failed"
        assert deploy(server, v1=0.3, v2=0.7)["state"] == "live"
        assert deploy(server, v4=1)["state"] == "failed"
        assert settled(server, server.ask(f"{SERVICE}/rollback", {}))["state"] == "live"
        time.sleep(0.8)  # what is not live is stopped meanwhile
        assert deploy(server, v1=1)["state"] == "live"
    finally:
        load.stop()
    assert load.failures == []
    assert set(load.answers) == {("v1", 1), ("v2", 2)}


@pytest.mark.slow
def test_generations_that_need_conflicting_versions_answer_side_by_side(server: Server, tmp_path: Path):
    from tests.unit.test_building import wheel

    server.start()
    code = "import garden\n\ndef predict():\n    return garden.VERSION\n"
    for version in ("1.0", "2.0"):
        publish(server, packed(code, requirements_DASH_py__txt=f"{wheel(tmp_path, version).as_uri()}\n"))
    assert deploy(server, v1=0.5, v2=0.5)["state"] == "live"
    assert {call(server) for _ in range(30)} == {("v1", "1.0"), ("v2", "2.0")}


@pytest.mark.slow
def test_what_cannot_be_built_says_why_and_changes_nothing(server: Server):
    server.start()
    publish(server, answering(1))
    deploy(server, v1=1)
    publish(server, packed(requirements_DASH_py__txt="./no-such-thing.whl\n"))
    rollout = deploy(server, v2=1)
    assert rollout["state"] == "failed"
    assert "no-such-thing" in rollout["reason"]
    assert b"no-such-thing" in server.ask(f"{SERVICE}/generations/v2/log").body
    assert call(server) == ("v1", 1)


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def new(name: str, *settings: str) -> Server:
        folder = tmp_path / name
        folder.mkdir()
        servers.append(Server(folder))
        return servers[-1].start(*settings)

    yield new
    for server in servers:
        server.end()
        for process in server.presences():
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_servers_on_one_database_follow_one_another(new_server: Callable[..., Server], postgres: Any, tmp_path: Path):
    shared = "--store-url", postgres.with_tables(), "--services-archives-dir", str(tmp_path / "shared")
    one, other = new_server("one", *shared), new_server("other", *shared)
    publish(one, answering(1))
    deploy(one, v1=1)
    until(lambda: other.ask(CALL, {}).status == 200)
    assert call(other) == ("v1", 1)
    publish(other, answering(2))
    load = Load(one, 2)
    try:
        assert deploy(other, v2=1)["state"] == "live"
        until(lambda: call(one) == ("v2", 2))
    finally:
        load.stop()
    assert load.failures == []
    one.ask(f"{SERVICE}/disable", {})
    until(lambda: other.ask(CALL, {}).status == 503)


def test_a_generation_is_copied_to_another_server(new_server: Callable[..., Server], tmp_path: Path):
    production = new_server("production")
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[infrastructure.prod]\nurl = "{production.url}"\nstage = "production"\n')
    development = new_server("development", "--config", str(settings))
    publish(development, answering(1))
    deploy(development, v1=1)
    answer = development.ask(f"{SERVICE}/copy", {"infrastructure": "prod"})
    assert answer.status == 200, answer.body
    assert (answer.json["deployment"], answer.json["stage"]) == ("churn-on-prod", "production")
    assert call(production) == ("v1", 1)
    assert development.ask(f"{SERVICE}/copy", {"infrastructure": "prod"}).status == 200
    publish(development, answering(3))
    publish(production, answering(4))
    assert development.ask(f"{SERVICE}/copy", {"infrastructure": "prod", "version": "v2"}).status == 502
    assert call(production) == ("v1", 1)
