"""Servers that are killed at any moment: what was acknowledged is executed, once, and told truly."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.domain.training import RunState
from deepaas_core.executors import runs as runs_module
from deepaas_core.executors.runs import RunProcesses
from deepaas_core.serving.trainer import Trainer
from deepaas_core.stores.database import Database
from deepaas_core.stores.sql import SqlRunStore
from tests.e2e.runs import MODEL

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
TORMENT = Model(Source("torment", "deepaas.model", "torment", "torment", "1.0"), frozenset({Capability.TRAIN}))

SERVER = """
import asyncio, json, sys
from pathlib import Path
from deepaas_core.executors.runs import RunProcesses
from deepaas_core.serving.trainer import Trainer
from deepaas_core.stores.database import Database
from deepaas_core.stores.sql import SqlRunStore
from tests.e2e.test_runs_restart import TORMENT

async def main(folder, values):
    store = SqlRunStore(await Database.open("", folder))
    trainer = Trainer(store, RunProcesses(folder / "runs"), max_concurrent_runs=2)
    await trainer.resume()
    print("ready", flush=True)
    while True:
        run = await trainer.start(TORMENT, values)
        print(run.id, flush=True)

asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
"""


@pytest.fixture(autouse=True)
async def torment(tmp_path, monkeypatch):
    (tmp_path / "torment.py").write_text(MODEL)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    yield
    for folder in (tmp_path / "runs").glob("*"):
        runs_module.RunProcesses(tmp_path / "runs")._sweep(folder.name, None)


@pytest.fixture
async def next_server(tmp_path):
    database = await Database.open("", tmp_path)
    trainer = Trainer(SqlRunStore(database), RunProcesses(tmp_path / "runs", cancel_grace_s=0.5), max_concurrent_runs=4)
    yield trainer
    await trainer.close()
    await database.close()


async def acknowledged_before_the_kill(folder, values, after_s):
    """Start a server that asks for one run after the other, and kill it."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(folder), values, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    assert await server.stdout.readline() == b"ready\n"
    await asyncio.sleep(after_s)
    server.send_signal(signal.SIGKILL)
    output = await server.stdout.read()
    await server.wait()
    return [line.decode() for line in output.split(b"\n")[:-1]]


@pytest.mark.parametrize("moment", range(4))
async def test_what_was_acknowledged_is_executed_once(tmp_path, moment, next_server):
    acknowledged = await acknowledged_before_the_kill(tmp_path, "{}", random.Random(moment).uniform(0.02, 0.3))
    for run in (await next_server.list())[:-8]:  # enough to see, not enough to wait long
        await next_server.cancel(run.id)
    await next_server.resume()
    recorded = [run.id for run in await next_server.list()]
    assert set(acknowledged) <= set(recorded)
    for run_id in recorded[-8:]:
        async with asyncio.timeout(30):
            run = await next_server.settled(run_id)
        assert run.state is RunState.SUCCEEDED, run
        assert (await next_server.read_log(run_id)).content.count(b"training") == 1


async def test_runs_go_on_without_a_server_and_are_taken_up_by_the_next(tmp_path, next_server):
    go = tmp_path / "go"
    values = f'{{"what": "wait_for", "path": "{go}", "result": 7}}'
    acknowledged = await acknowledged_before_the_kill(tmp_path, values, 1.0)
    first, second, *rest = acknowledged
    for run_id in rest:
        await next_server.cancel(run_id)
    await next_server.resume()
    for run_id in (first, second):
        assert (await next_server.get(run_id)).state is RunState.RUNNING
    await next_server.cancel(second)
    assert not runs_module._tagged(second)
    go.touch()
    async with asyncio.timeout(10):
        run = await next_server.settled(first)
    assert (run.state, run.result) == (RunState.SUCCEEDED, 7)


async def test_a_run_that_died_without_a_server_says_why(tmp_path, next_server):
    acknowledged = await acknowledged_before_the_kill(tmp_path, '{"what": "signal", "number": 11}', 0.5)
    for run_id in acknowledged[2:]:
        await next_server.cancel(run_id)
    await next_server.resume()
    async with asyncio.timeout(10):
        run = await next_server.settled(acknowledged[0])
    assert run.state is RunState.FAILED
    assert "SIGSEGV" in run.error.message
