"""Training runs over the native API."""

from __future__ import annotations

import pytest
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.domain.training import Ending, RunError, RunState
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.serving.observer import Observer
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Access
from deepaas_core.stores.memory import MemoryRunStore, MemoryTokenStore
from deepaas_core.web import auth, problems
from deepaas_core.web.keys import OBSERVER, TRAINER
from deepaas_core.web.rest import runs, watching
from tests.machine import Machine

MODEL = Model(Source("digits", "deepaas.model", "digits", "digits", "1.0"), frozenset({Capability.TRAIN}))


@web.middleware
async def as_problems(request, handler):
    try:
        return await handler(request)
    except errors.DeepaasError as error:
        return problems.present(error, "1")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
async def trainer(machine):
    trainer = Trainer(MemoryRunStore(), machine)
    await trainer.resume()
    yield trainer
    await trainer.close()


@pytest.fixture
async def client(trainer, aiohttp_client):
    app = web.Application(middlewares=[as_problems, auth.guarding])
    app[TRAINER] = trainer
    app[OBSERVER] = Observer(trainer)
    auth.guard(app, Gatekeeper(MemoryTokenStore(), Access()), [*runs.ROUTES, *watching.ROUTES])
    return await aiohttp_client(app)


async def ended(trainer, machine, ending):
    run = await trainer.start(MODEL, {"epochs": 3})
    await machine.begun(run.id)
    machine.end(run.id, ending)
    return await trainer.settled(run.id)


async def test_a_run_is_read(client, trainer, machine):
    run = await ended(trainer, machine, Ending(RunState.SUCCEEDED, result={"loss": 0.1}))
    response = await client.get(f"/api/v1/runs/{run.id}")
    document = await response.json()
    assert response.status == 200
    assert document == {
        "id": run.id,
        "model": "digits",
        "version": "1.0",
        "state": "succeeded",
        "queue_position": None,
        "progress": None,
        "metrics": {},
        "retry_of": None,
        "promote_if": None,
        "arguments": {"epochs": 3},
        "created_at": run.created_at.isoformat().replace("+00:00", "Z"),
        "started_at": run.started_at.isoformat().replace("+00:00", "Z"),
        "finished_at": run.finished_at.isoformat().replace("+00:00", "Z"),
        "duration_s": run.duration_s,
        "result": {"loss": 0.1},
        "error": None,
        "links": {
            "self": f"/api/v1/runs/{run.id}",
            "plot": f"/api/v1/runs/{run.id}/plot.svg",
            **{name: f"/api/v1/runs/{run.id}/{name}" for name in ("log", "events", "metrics", "artifacts", "retry")},
        },
    }


async def test_an_error_has_its_traceback_alone_and_none_in_lists(client, trainer, machine):
    error = RunError("ValueError", "no", "Traceback …")
    run = await ended(trainer, machine, Ending(RunState.FAILED, error=error))
    alone = await (await client.get(f"/api/v1/runs/{run.id}")).json()
    listed = await (await client.get("/api/v1/runs")).json()
    assert alone["error"] == {"kind": "ValueError", "message": "no", "traceback": "Traceback …"}
    assert listed["runs"][0]["error"] == {"kind": "ValueError", "message": "no"}


async def test_lists_are_paged(client, trainer):
    ids = [(await trainer.start(MODEL, {})).id for _ in range(5)]
    seen, following = [], "/api/v1/runs?limit=2"
    while following:
        page = await (await client.get(following)).json()
        seen += [run["id"] for run in page["runs"]]
        following = page["next"]
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query, count", [("model=digits", 1), ("model=x", 0), ("state=succeeded", 1), ("state=failed", 0)]
)
async def test_lists_are_filtered(client, trainer, machine, query, count):
    await ended(trainer, machine, Ending(RunState.SUCCEEDED))
    assert len((await (await client.get(f"/api/v1/runs?{query}")).json())["runs"]) == count


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=٣", "limit=9999", "limit=-1", "state=gone"])
async def test_a_filter_that_makes_no_sense_is_refused(client, query):
    response = await client.get(f"/api/v1/runs?{query}")
    assert response.status == 422
    assert (await response.json())["errors"][0]["pointer"] == "/" + query.partition("=")[0]


@pytest.mark.parametrize("method, suffix", [("DELETE", ""), ("POST", "/cancel")])
async def test_a_run_is_cancelled_once_and_for_all(client, trainer, machine, method, suffix):
    run = await trainer.start(MODEL, {})
    for _ in range(2):
        response = await client.request(method, f"/api/v1/runs/{run.id}{suffix}")
        assert response.status == 200
        assert (await response.json())["state"] == "cancelled"


async def test_a_run_that_ended_is_not_cancelled(client, trainer, machine):
    run = await ended(trainer, machine, Ending(RunState.SUCCEEDED))
    response = await client.delete(f"/api/v1/runs/{run.id}")
    assert response.status == 409


@pytest.mark.parametrize("run_id", ["0" * 32, "nonsense", "%00", "..%2f..%2fetc"])
async def test_an_unknown_run_is_not_found(client, run_id):
    assert (await client.get(f"/api/v1/runs/{run_id}")).status == 404
    assert (await client.get(f"/api/v1/runs/{run_id}/log")).status == 404


async def test_the_log_is_read(client, trainer, machine):
    run = await trainer.start(MODEL, {})
    response = await client.get(f"/api/v1/runs/{run.id}/log")
    assert (response.status, response.content_type, await response.text()) == (200, "text/plain", "0123456789")


async def test_a_log_is_followed_only_on_a_plain_word(client, trainer):
    run = await trainer.start(MODEL, {})
    assert (await client.get(f"/api/v1/runs/{run.id}/log?follow=perhaps")).status == 422


@pytest.mark.parametrize(
    "asked, content, told",
    [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ],
)
async def test_a_part_of_the_log_is_read(client, trainer, asked, content, told):
    run = await trainer.start(MODEL, {})
    response = await client.get(f"/api/v1/runs/{run.id}/log", headers={"Range": asked})
    assert (response.status, response.headers["Content-Range"], await response.text()) == (206, told, content)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=5-2", "bytes=-0"])
async def test_a_part_that_is_not_there_is_not_satisfiable(client, trainer, asked):
    run = await trainer.start(MODEL, {})
    response = await client.get(f"/api/v1/runs/{run.id}/log", headers={"Range": asked})
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=x-y"])
async def test_a_range_that_is_not_understood_is_ignored(client, trainer, asked):
    run = await trainer.start(MODEL, {})
    response = await client.get(f"/api/v1/runs/{run.id}/log", headers={"Range": asked})
    assert (response.status, await response.text()) == (200, "0123456789")


async def test_queued_runs_tell_their_place(client, trainer, machine):
    ids = [(await trainer.start(MODEL, {})).id for _ in range(4)]
    await machine.begun(ids[1])
    listed = (await (await client.get("/api/v1/runs?state=queued")).json())["runs"]
    assert [(run["id"], run["queue_position"]) for run in listed] == [(ids[3], 2), (ids[2], 1)]
    assert (await (await client.get(f"/api/v1/runs/{ids[3]}")).json())["queue_position"] == 2


async def test_lists_are_filtered_by_time(client, trainer, machine):
    run = await trainer.start(MODEL, {})
    at = run.created_at.isoformat()
    for query, count in ((f"since={at}", 1), (f"until={at}", 0), ("since=2999-01-01", 0)):
        assert len((await (await client.get(f"/api/v1/runs?{query}")).json())["runs"]) == count
    assert (await client.get("/api/v1/runs?since=soon")).status == 422


async def test_a_run_that_is_over_is_deleted_only_if_that_is_asked_for(client, trainer, machine):
    run = await ended(trainer, machine, Ending(RunState.SUCCEEDED))
    assert (await client.delete(f"/api/v1/runs/{run.id}?purge=maybe")).status == 422
    assert (await client.delete(f"/api/v1/runs/{run.id}?purge=true")).status == 204
    assert (await client.get(f"/api/v1/runs/{run.id}")).status == 404


async def test_runs_are_compared(client, trainer, machine):
    first = await ended(trainer, machine, Ending(RunState.SUCCEEDED))
    second = await trainer.start(MODEL, {"epochs": 5})
    await machine.begun(second.id)
    machine.tell(second.id, "metrics", loss=0.5)
    address = f"/api/v1/runs/compare?ids={second.id},{first.id}"
    document = await (await client.get(address)).json()
    assert [run["id"] for run in document["runs"]] == [second.id, first.id]
    assert [run["metrics"] for run in document["runs"]] == [{"loss": 0.5}, {}]
    assert document["differing"] == ["epochs"]
    table = (await (await client.get(address, headers={"Accept": "text/csv"})).text()).splitlines()
    assert table[0] == "id,model,version,state,created_at,duration_s,arguments.epochs,metrics.loss"
    assert table[1].endswith(",5,0.5")
    assert (await client.get("/api/v1/runs/compare")).status == 422
    assert (await client.get("/api/v1/runs/compare?ids=" + "0" * 32)).status == 404


async def test_who_asks_for_a_run_is_told_its_place(serve):
    client = await serve(slow="def train():\n import time\n while True: time.sleep(0.05)")
    answers = [await (await client.post("/api/v1/models/slow/train", json={})).json() for _ in range(3)]
    answers.append(await (await client.post(answers[0]["links"]["retry"], json={})).json())
    for answer in answers[::-1]:
        await client.post(f"/api/v1/runs/{answer['id']}/cancel")
    assert [answer["state"] for answer in answers] == ["queued"] * 4
    assert answers[0]["queue_position"] == 1
    assert 1 <= answers[2]["queue_position"] <= 3
    assert 2 <= answers[3]["queue_position"] <= 4


async def test_who_asked_for_a_run_that_is_recorded_is_not_refused(serve, monkeypatch):
    """Or he would ask again, and have it twice."""

    async def locked(self):
        raise errors.StoreUnavailable("The database is locked.")

    client = await serve(quick="def train():\n pass")
    monkeypatch.setattr(Trainer, "positions", locked)
    answer = await client.post("/api/v1/models/quick/train", json={})
    assert answer.status == 202
    assert len((await (await client.get("/api/v1/runs?state=succeeded")).json())["runs"]) <= 1
