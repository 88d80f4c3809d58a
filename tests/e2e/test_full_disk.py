"""A disk that is full, and then is not: nothing acknowledged is lost, and nobody restarts anything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import Server, until

pytestmark = pytest.mark.e2e
#: A mount namespace of one's own, with a small disk where the data folder is.
OWN_DISK = ("unshare", "--mount", *(() if os.getuid() == 0 else ("--map-root-user",)), "sh", "-c")
SMALL_DISK = 'mount -t tmpfs -o size=4m,mode=700 tmpfs "$0" && exec "$@"'
MODEL = """
    import os, time

    def train(go: str = "", returned: str = ""):
        while go and not os.path.exists(go):
            time.sleep(0.02)
        from deepaas_core import run
        run.report(loss=0.5)
        if returned:
            open(returned, "w").close()
        return "x" * 20_000

    def predict_data(data):
        return data
"""


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Server]:
    """A server on a small disk that nobody else sees."""
    data = tmp_path / "data"
    data.mkdir()
    server = Server(tmp_path, within=(*OWN_DISK, SMALL_DISK, str(data)))
    tried = subprocess.run([*OWN_DISK, SMALL_DISK, str(data), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine does not let us mount a small disk: {tried.stderr.strip()}")
    server.install("cramped", MODEL)
    yield server.start()
    server.end()


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, b"x" * 4096):
            pass
    except OSError:
        pass
    finally:
        os.close(descriptor)


def test_a_disk_that_is_full_for_a_while_loses_nothing(cramped, tmp_path):
    go, returned = tmp_path / "go", tmp_path / "returned"
    disk = Path(f"/proc/{cramped.process.pid}/root{tmp_path}/data")
    train = "/api/v1/models/cramped/train"
    run = cramped.ask(train, {"go": str(go), "returned": str(returned)}).json["links"]["self"]
    until(lambda: (disk / run.removeprefix("/api/v1/") / "heartbeat").exists())
    fill(disk / "filling")
    refused = cramped.ask(train, {})
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json["type"] == "/problems/store-unavailable"
    assert cramped.predict("cramped", 1).json["prediction"] == 1
    assert cramped.ask("/livez").status == 200
    go.touch()
    until(returned.exists)
    assert cramped.ask(run).json["state"] == "running"
    (disk / "filling").unlink()
    until(lambda: cramped.ask(run).json["state"] == "succeeded")
    assert cramped.ask(run).json["result"] == "x" * 20_000
    again = cramped.ask(train, {})
    assert again.status == 202
    until(lambda: cramped.ask(again.json["links"]["self"]).json["state"] == "succeeded")
    assert {listed["links"]["self"] for listed in cramped.ask("/api/v1/runs").json["runs"]} == {
        run,
        again.json["links"]["self"],
    }
