"""Watching training runs over the native API."""

from __future__ import annotations

import asyncio
import json
import os
import xml.etree.ElementTree as ElementTree

import pytest
from aiohttp import web
from yarl import URL

from deepaas_core.domain.training import Ending, RunState
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.serving.observer import Observer
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Access
from deepaas_core.stores.memory import MemoryRunStore, MemoryTokenStore
from deepaas_core.web import auth
from deepaas_core.web.keys import OBSERVER, TRAINER
from deepaas_core.web.rest import runs, watching
from tests.machine import Machine
from tests.web.test_runs import MODEL, as_problems

POLYLINE = "{http://www.w3.org/2000/svg}polyline"
DONE = Ending(RunState.SUCCEEDED, result=1)


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
    app[TRAINER], app[OBSERVER] = trainer, Observer(trainer)
    auth.guard(app, Gatekeeper(MemoryTokenStore(), Access()), [*runs.ROUTES, *watching.ROUTES])
    return await aiohttp_client(app)


@pytest.fixture
async def run(trainer, machine):
    run = await trainer.start(MODEL, {"epochs": 3})
    await machine.begun(run.id)
    return run.id


async def messages(response, count=None):
    """The messages of an event stream: (id, event, data)."""
    found, message = [], {}
    async with asyncio.timeout(10):
        async for line in response.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name in ("id", "event", "data"):
                message[name] = value
            elif not name and message:
                if "data" in message:
                    found.append((message.get("id"), message["event"], json.loads(message["data"])))
                message = {}
                if len(found) == count:
                    response.close()
                    break
    return found


async def test_a_running_run_tells_how_far_it_is(client, machine, run):
    machine.tell(run, "progress", done=3, total=10)
    machine.tell(run, "metrics", loss=0.5)
    document = await (await client.get(f"/api/v1/runs/{run}")).json()
    assert document["progress"] == {"done": 3, "total": 10, "fraction": 0.3}
    assert document["metrics"] == {"loss": 0.5}


async def test_events_come_as_they_are_told_until_the_end(client, trainer, machine, run):
    machine.tell(run, "metrics", loss=0.5)
    response = await client.get(f"/api/v1/runs/{run}/events")
    assert (response.status, response.content_type) == (200, "text/event-stream")
    reading = asyncio.create_task(messages(response))
    machine.tell(run, "progress", done=1, total=2)
    machine.end(run, DONE)
    found = await reading
    assert [event for _, event, _ in found] == ["state", "metrics", "progress", "end"]
    assert found[1][2] == {"at": "2024-05-01T12:30:15.500000Z", "loss": 0.5}
    assert found[-1][2]["state"] == "succeeded"


async def test_who_comes_back_misses_nothing_and_sees_nothing_twice(client, machine, run):
    for step in range(5):
        machine.tell(run, "metrics", step=step)
    first = await messages(await client.get(f"/api/v1/runs/{run}/events"), count=3)
    headers = {"Last-Event-ID": first[-1][0]}
    machine.end(run, DONE)
    rest = await messages(await client.get(f"/api/v1/runs/{run}/events", headers=headers))
    steps = [data["step"] for _, event, data in first + rest if event == "metrics"]
    assert steps == [0, 1, 2, 3, 4]
    last = {"Last-Event-ID": rest[-1][0]}
    assert (await client.get(f"/api/v1/runs/{run}/events", headers=last)).status == 204


async def test_who_waits_in_the_queue_is_told_when_it_moves(client, trainer, machine):
    ids = [(await trainer.start(MODEL, {})).id for _ in range(4)]
    await machine.begun(ids[1])
    events = f"/api/v1/runs/{ids[3]}/events"
    for gone, told in ((ids[0], ("queued", 1)), (ids[1], ("running", None))):
        reading = asyncio.create_task(messages(await client.get(events), count=2))
        await trainer.cancel(gone)
        _, (_, event, data) = await reading
        assert (event, data["state"], data["queue_position"]) == ("state", *told)


async def test_a_long_result_is_not_in_the_last_event(client, machine, run):
    machine.end(run, Ending(RunState.SUCCEEDED, result="x" * 100_000))
    *_, (_, event, data) = await messages(await client.get(f"/api/v1/runs/{run}/events"))
    assert (event, data["state"], data["result"]) == ("end", "succeeded", None)


async def test_streams_end_when_the_server_goes(client, run):
    response = await client.get(f"/api/v1/runs/{run}/events")
    client.app[OBSERVER].leave()
    assert [event for _, event, _ in await messages(response)] == ["state"]


async def test_an_unknown_run_cannot_be_watched(client):
    for what in ("events", "metrics", "plot.svg", "artifacts", "artifacts/x", "log?follow=true"):
        assert (await client.get(f"/api/v1/runs/{'0' * 32}/{what}")).status == 404


async def test_the_log_is_followed_to_its_end(client, machine, run):
    response = await client.get(f"/api/v1/runs/{run}/log?follow=true")
    assert await response.content.readexactly(10) == b"0123456789"
    machine.logs[run] = b"0123456789 and more"
    machine.end(run, DONE)
    assert await response.content.read() == b" and more"


async def test_metrics_are_paged(client, machine, run):
    for step in range(5):
        machine.tell(run, "metrics", step=step)
    seen, following = [], f"/api/v1/runs/{run}/metrics?limit=2"
    while following:
        page = await (await client.get(following)).json()
        seen += [row["values"]["step"] for row in page["metrics"]]
        following = page["next"]
    assert seen == [0, 1, 2, 3, 4]
    assert (page["reports"], page["last"]) == (5, {"step": 4})


async def test_metrics_are_a_table_for_who_wants_one(client, machine, run):
    machine.tell(run, "metrics", epoch=1, loss=0.5)
    machine.tell(run, "metrics", epoch=2, note='"a", b')
    for ask in ({"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        response = await client.get(f"/api/v1/runs/{run}/metrics", **ask)
        assert response.content_type == "text/csv"
        assert (await response.text()).splitlines() == [
            "at,epoch,loss,note",
            "2024-05-01T12:30:15.500000Z,1,0.5,",
            '2024-05-01T12:30:15.500000Z,2,,"""a"", b"',
        ]
    assert (await client.get(f"/api/v1/runs/{run}/metrics?format=xml")).status == 422
    assert (await client.get(f"/api/v1/runs/{run}/metrics", headers={"Accept": "image/png"})).status == 406


async def test_many_reports_are_thinned_out(client, machine, run):
    folder = machine.root / "told" / run
    folder.mkdir(parents=True)
    with (folder / "events.ndjson").open("w") as file:
        for step in range(50_000):
            file.write(json.dumps({"event": "metrics", "values": {"step": step, "loss": 1}}) + "\n")
    page = await (await client.get(f"/api/v1/runs/{run}/metrics?points=100")).json()
    assert page["reports"] == 50_000
    assert [row["values"]["step"] for row in page["metrics"]] == [*range(0, 50_000, 512), 49_999]
    assert (await (await client.get(f"/api/v1/runs/{run}")).json())["metrics"]["step"] == 49_999
    picture = await (await client.get(f"/api/v1/runs/{run}/plot.svg")).text()
    assert len(picture) < 50_000


async def test_what_is_reported_seldom_is_not_thinned_out_with_the_rest(client, machine, run):
    for step in range(2000):
        machine.tell(run, "metrics", step=step, loss=1)
        if step % 500 == 499:
            machine.tell(run, "metrics", epoch=step // 500, val_loss=2)
    page = await (await client.get(f"/api/v1/runs/{run}/metrics?points=10")).json()
    assert [row["values"]["epoch"] for row in page["metrics"] if "epoch" in row["values"]] == [0, 1, 2, 3]
    assert 6 <= len([row for row in page["metrics"] if "loss" in row["values"]]) <= 11
    picture = await (await client.get(f"/api/v1/runs/{run}/plot.svg?points=10")).text()
    lines = {line.get("data-name"): line.get("points") for line in ElementTree.fromstring(picture).iter(POLYLINE)}
    assert len(lines["val_loss"].split()) == 4


async def test_without_steps_or_epochs_curves_are_drawn_over_time(client, machine, run):
    machine.tell(run, "metrics", loss=1)
    assert ">seconds<" in await (await client.get(f"/api/v1/runs/{run}/plot.svg")).text()


async def test_a_page_of_metrics_ends_before_it_is_too_long(client, machine, run):
    for number in range(12):
        machine.tell(run, "metrics", number=number, text="x" * 1_000_000)
    seen, following = [], f"/api/v1/runs/{run}/metrics"
    while following:
        response = await client.get(following)
        assert response.content_length < 6_000_000
        page = await response.json()
        seen.append([row["values"]["number"] for row in page["metrics"]])
        following = page["next"]
    assert [number for numbers in seen for number in numbers] == list(range(12))
    assert len(seen) == 3


async def test_what_is_no_event_is_passed_over(client, machine, run):
    machine.tell(run, "metrics", loss=0.5)
    with (machine.root / "told" / run / "events.ndjson").open("ab") as file:
        file.write(b'nonsense\n{"event": 7}\n[1]\n\xff\xfe\n' + b"x" * 2_500_000 + b"\n")
    machine.tell(run, "metrics", loss=0.25)
    document = await (await client.get(f"/api/v1/runs/{run}/metrics")).json()
    assert [row["values"]["loss"] for row in document["metrics"]] == [0.5, 0.25]


async def test_learning_curves_are_a_sound_picture_whatever_is_reported(client, machine, run):
    empty = await client.get(f"/api/v1/runs/{run}/plot.svg")
    assert (empty.status, empty.content_type) == (200, "image/svg+xml")
    ElementTree.fromstring(await empty.text())
    machine.tell(run, "metrics", epoch=1, loss=0.5, val_loss=1e308, same=3, **{"<b>&\x1b\0": -1})
    machine.tell(run, "metrics", epoch=2, loss=None, val_loss=-1e308, same=3, text="x", flag=True)
    picture = await (await client.get(f"/api/v1/runs/{run}/plot.svg")).text()
    ElementTree.fromstring(picture)
    assert "val_loss" in picture
    assert "prefers-color-scheme" in picture
    assert "nan" not in picture


async def test_files_are_listed_and_read_in_parts(client, machine, run):
    machine.tell(run, "artifact", name="plot.png", bytes=10)
    kept = machine.root / "told" / run / "artifacts"
    (kept / "plot.png").write_bytes(b"0123456789")
    (kept / "deep").mkdir()
    (kept / "deep" / "ü.txt").write_text("x")
    listed = (await (await client.get(f"/api/v1/runs/{run}/artifacts")).json())["artifacts"]
    assert [(one["name"], one["bytes"]) for one in listed] == [("deep/ü.txt", 1), ("plot.png", 10)]
    assert await (await client.get(listed[0]["links"]["self"])).text() == "x"
    response = await client.get(listed[1]["links"]["self"], headers={"Range": "bytes=2-4"})
    assert (response.status, await response.read()) == (206, b"234")
    assert response.headers["Content-Disposition"].startswith("attachment")


async def test_the_size_of_a_file_can_be_asked_for_alone(client, machine, run):
    machine.tell(run, "artifact", name="plot.png", bytes=10)
    (machine.root / "told" / run / "artifacts" / "plot.png").write_bytes(b"0123456789")
    response = await client.head(f"/api/v1/runs/{run}/artifacts/plot.png")
    assert (response.status, response.headers["Content-Length"], await response.read()) == (200, "10", b"")
    assert (await client.head(f"/api/v1/runs/{run}/artifacts/none")).status == 404


async def test_files_of_any_name_are_listed_and_read(client, machine, run):
    machine.tell(run, "metrics")
    kept = os.fsencode(machine.root / "told" / run / "artifacts")
    for name in (b"new\nline", b"not utf-8 \xff", b"100%25 #?&\\", "é".encode()):
        with open(os.path.join(kept, name), "wb") as file:
            file.write(name)
    os.utime(os.path.join(kept, b"new\nline"), (1e13, 1e13))
    listed = (await (await client.get(f"/api/v1/runs/{run}/artifacts")).json())["artifacts"]
    assert [one["name"] for one in listed] == ["100%25 #?&\\", "new\nline", "not utf-8 ?", "é"]
    contents = [await (await client.get(URL(one["links"]["self"], encoded=True))).read() for one in listed]
    assert contents == [b"100%25 #?&\\", b"new\nline", b"not utf-8 \xff", "é".encode()]


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=5-2", "bytes=0-1,4-5", "lines=1"])
async def test_a_part_of_a_file_that_is_not_there_is_told(client, machine, run, asked):
    machine.tell(run, "artifact", name="plot.png", bytes=10)
    (machine.root / "told" / run / "artifacts" / "plot.png").write_bytes(b"0123456789")
    response = await client.get(f"/api/v1/runs/{run}/artifacts/plot.png", headers={"Range": asked})
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */10")


async def test_what_is_no_plain_file_holds_nobody_up(client, machine, run):
    machine.tell(run, "metrics")
    told = machine.root / "told" / run
    (told / "events.ndjson").unlink()
    os.mkfifo(told / "events.ndjson")
    os.mkfifo(told / "artifacts" / "pipe")
    assert (await client.get(f"/api/v1/runs/{run}/artifacts/pipe")).status == 404
    assert (await (await client.get(f"/api/v1/runs/{run}/metrics")).json())["metrics"] == []


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fsecret", "../secret", "%2e%2e/%2e%2e/secret", "link", "linked/secret", "%00", "x" * 5000, "deep"],
)
async def test_nothing_outside_the_runs_own_files_is_read(client, machine, run, name):
    machine.tell(run, "metrics")
    kept = machine.root / "told" / run / "artifacts"
    (kept / "deep").mkdir()
    (machine.root / "secret").write_text("secret")
    os.symlink(machine.root / "secret", kept / "link")
    os.symlink(machine.root, kept / "linked")
    assert (await client.get(f"/api/v1/runs/{run}/artifacts/{name}")).status == 404
    listed = await (await client.get(f"/api/v1/runs/{run}/artifacts")).json()
    assert listed["artifacts"] == []
