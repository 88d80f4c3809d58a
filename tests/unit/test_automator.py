"""When automations are done, and by whom of several servers on one store."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from deepaas_core.domain.automation import Execution, ExecutionState, automations_of
from deepaas_core.domain.deployment import Deployment, Generation
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, Service
from deepaas_core.serving import automator as module
from deepaas_core.serving.automator import Automations, Automator
from deepaas_core.serving.services import Services
from deepaas_core.stores.memory_automations import MemoryAutomationStore
from deepaas_core.stores.memory_predictions import MemoryPredictionStore

START = datetime(2026, 11, 21, 2, 59, tzinfo=UTC)
SCORE = Endpoint("score", EndpointKind.PREDICTION, inputs=(Feature("amount"),))


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


class Machine:
    """A machine with servers on one store, whose signs of life can stop."""

    def __init__(self):
        self.clock, self.store = Clock(), MemoryAutomationStore()
        self.alive, self.steps = {}, 0

    def server(self, name, schedule="0 3 * * *", since=START):
        self.alive[name] = 0
        told = {"drift": {"reference": "known.csv", "endpoint": "score"}, "schedule": schedule}
        service = Service("fraud", endpoints={"score": SCORE}, automations={"watch": told})
        services = Services(None, None)
        services.replace(
            {"fraud": Deployment("fraud", {"v1": 1.0}, changed_at=since)},
            [Generation("fraud", "v1", "d" * 64, service, START)],
        )
        automations = Automations(self.store, services, self.clock)
        self.services = services
        predictions = MemoryPredictionStore()
        args = automations, self.store, services, None, self, self, None, predictions, None, name, 0.1, self.clock
        return Automator(*args)

    async def workshop(self, generation):
        self.steps += 1
        return None, None

    async def peers(self):
        self.alive = {name: signs + (name != "lost") for name, signs in self.alive.items()}
        return {name: SimpleNamespace(seen_at=signs) for name, signs in self.alive.items()}

    async def done(self):
        """All executions, once they are over."""
        while await self.store.open():
            await asyncio.sleep(0.01)
        return await self.store.list("fraud")


@pytest.fixture
def machine():
    return Machine()


async def test_of_several_servers_one_does_what_is_due(machine):
    servers = [machine.server(name) for name in "abc"]
    for _ in range(3):
        machine.clock.now += timedelta(days=1)
        await asyncio.gather(*(server.look() for server in servers))
    assert len({execution.due for execution in await machine.done()}) == len(await machine.done()) == 3


async def test_what_was_missed_is_done_once(machine):
    await machine.server("a").look()
    machine.clock.now += timedelta(days=5)
    server = machine.server("a")
    await server.look()
    await server.look()
    assert len(await machine.done()) == 1


async def test_a_new_schedule_holds_from_when_it_is_live(machine):
    monthly = machine.server("a", "0 3 21 * *")
    await monthly.look()
    machine.clock.now += timedelta(minutes=5)
    await monthly.look()
    machine.clock.now += timedelta(days=5)
    daily = machine.server("a", "0 3 * * *", since=machine.clock.now)
    await daily.look()
    assert len(await machine.done()) == 1
    machine.clock.now += timedelta(days=1)
    await daily.look()
    assert len(await machine.done()) == 2


async def test_what_a_deleted_service_missed_is_not_done_by_its_successor(machine):
    server = machine.server("a")
    await server.look()
    successor = machine.services.standing("fraud")
    machine.services.replace({}, [])
    await server.look()
    machine.clock.now += timedelta(days=2)
    deployed = replace(successor.deployment, changed_at=machine.clock.now)
    machine.services.replace({"fraud": deployed}, successor.generations)
    await server.look()
    assert await machine.done() == []


@pytest.fixture
def left(machine):
    """Leave an execution behind that a server has begun."""

    async def leave(server):
        service = machine.server("b")._automations.live("fraud").generation.definition
        execution = Execution.of("fraud", automations_of(service)["watch"], "v1", "request", START)
        await machine.store.add(replace(execution, server=server))

    return leave


async def test_what_a_lost_server_had_begun_is_gone_on_with_by_another(machine, left, monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    await left("lost")
    running = asyncio.create_task(machine.server("b").run())
    [execution] = await machine.done()
    running.cancel()
    assert (execution.server, execution.state) == ("b", ExecutionState.SUCCEEDED)


async def test_what_a_living_server_has_begun_is_left_to_it(machine, left, monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    server = machine.server("b")
    await left("a")
    machine.alive["a"] = 0
    running = asyncio.create_task(server.run())
    looks = machine.alive["a"]
    while machine.alive["a"] < looks + 30:
        await asyncio.sleep(0.01)
    running.cancel()
    assert [execution.server for execution in await machine.store.open()] == ["a"]


async def test_who_was_taken_for_lost_does_no_more(machine, left):
    await left("a")
    [execution] = await machine.store.open()
    await machine.server("a").look()
    others = replace(execution, server="b")
    assert await machine.store.replace(execution, others)
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    assert await machine.store.open() == [others]
    assert machine.steps == 0
