"""Whatever happens, in whatever order, on one server or two: every promise is kept, and no run is executed twice.

Real trainers over a store in memory and machines on which nothing runs, in a time that passes only when nothing else
is to be done.
"""

from __future__ import annotations

import asyncio
import selectors
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.domain.training import Ending, Place, Process, RunError, RunState
from deepaas_core.errors import RunAlreadyOver, StoreUnavailable
from deepaas_core.serving.neighbours import SIGN_EVERY_S
from deepaas_core.serving.trainer import Trainer
from deepaas_core.stores.memory import MemoryRunStore
from tests.machine import Machine

LEASE_S = 20.0
MODELS = {
    name: Model(Source(name, "deepaas.model", name, name, "1.0"), frozenset({Capability.TRAIN})) for name in ("a", "b")
}
ENDINGS = {
    RunState.SUCCEEDED: Ending(RunState.SUCCEEDED, result="done"),
    RunState.FAILED: Ending(RunState.FAILED, error=RunError("ValueError", "no")),
}

which = st.integers(0, 5)
events = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(sorted(MODELS))),
    st.tuples(st.just("cancel"), which),
    st.tuples(st.just("end"), which, st.sampled_from(sorted(ENDINGS))),
    st.tuples(st.just("kill"), which),
    st.tuples(st.just("crash")),
    st.tuples(st.just("lose_machine")),
    st.tuples(st.just("set_store"), st.sampled_from(["there", "away", "breaking"])),
    st.tuples(st.just("steps"), st.integers(0, 12)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, LEASE_S / 2, 2 * LEASE_S])),
)
histories = st.lists(st.tuples(st.integers(0, 1), events), max_size=30)


class Hurry(selectors.DefaultSelector):
    """Lets time pass at once when there is nothing else to wait for."""

    ahead_s = 0.0
    threads = 0

    def select(self, timeout=None):
        if self.threads:  # they take the time they take, and wake the loop
            return super().select(timeout)
        ready = super().select(0 if timeout is None else min(timeout, 0.0005))
        if not ready and timeout:
            self.ahead_s += timeout
        return ready


class HurriedLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._hurry = Hurry()
        super().__init__(self._hurry)

    def time(self):
        return super().time() + self._hurry.ahead_s

    def run_in_executor(self, *call):
        self._hurry.threads += 1
        future = super().run_in_executor(*call)
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _):
        self._hurry.threads -= 1


class Watched(MemoryRunStore):
    """A store that can be away, or break off when all is done, and that notices what must not happen."""

    state = "there"

    def _reach(self):
        if self.state == "away":
            raise StoreUnavailable("away")

    def _break_off(self):
        if self.state == "breaking":
            self.state = "there"
            raise StoreUnavailable("line broken")

    async def replace(self, old, new, **options):
        self._reach()
        await asyncio.sleep(0)
        before = self._runs.get(old.id)
        done = await super().replace(old, new, **options)
        assert not done or not before.state.over or before.state is new.state
        await asyncio.sleep(0)
        self._break_off()
        return done

    async def add(self, run):
        self._reach()
        await asyncio.sleep(0)
        await super().add(run)
        self._break_off()

    async def get(self, run_id):
        await asyncio.sleep(0)
        self._reach()
        return await super().get(run_id)

    async def list(self, **filters):
        self._reach()
        return await super().list(**filters)

    async def queue(self, *arguments):
        self._reach()
        found = await super().queue(*arguments)
        await asyncio.sleep(0)
        return found

    async def peers(self):
        self._reach()
        return await super().peers()


class SlowMachine(Machine):
    """One on which a server may die between any two steps."""

    async def start(self, run_id):
        await asyncio.sleep(0)
        if run_id not in self.jobs:
            return Process(0, "finds nothing to do")
        process = await super().start(run_id)
        await asyncio.sleep(0)
        return process


class Site:
    """One server's machine, and the server on it, if it lives."""

    def __init__(self, store, folder, place):
        folder.mkdir()
        self.store, self.place, self.machine = store, place, SlowMachine(folder)
        self.trainer = None
        self.powered = True

    async def start(self):
        self.trainer = Trainer(self.store, self.machine, place=self.place, lease_s=LEASE_S)
        self.trainer.offered = MODELS.copy
        with suppress(StoreUnavailable):
            await self.trainer.resume()
            return
        self.crash()

    def crash(self):
        """Cut off everything the server does, wherever it is."""
        if self.trainer is not None:
            for task in (*self.trainer._carried.values(), *self.trainer._duties, *self.trainer._background):
                task.cancel()
        self.trainer = None

    async def say_that_it_is_there(self):
        while self.place.server:
            if self.powered and self.store.state != "away":
                await self.store.greet(self.place.server, "")
            await asyncio.sleep(SIGN_EVERY_S)


class World:
    def __init__(self, folder, servers):
        self.store = Watched()
        places = [Place()] if servers == 1 else [Place(name, name) for name in "xy"]
        self.sites = [Site(self.store, folder / str(number), place) for number, place in enumerate(places)]
        self.asked: list[str] = []
        self.cancelled: set[str] = set()
        self.tried_to_cancel: set[str] = set()
        self.ended: dict[str, set[str]] = {}
        self.lost: set[str] = set()

    async def live(self, history):
        signs = [asyncio.create_task(site.say_that_it_is_there()) for site in self.sites]
        for site in self.sites:
            await site.start()
        for number, (event, *details) in history:
            site = self.sites[number % len(self.sites)]
            if site.trainer is None and event not in ("set_store", "wait"):
                site.powered = True
                await site.start()
            await getattr(self, event)(site, *details)
        self.store.state = "there"
        await self.come_to_rest()
        for site in self.sites:
            site.crash()
        for sign in signs:
            sign.cancel()
        await asyncio.sleep(0)

    async def ask(self, site, model):
        if site.trainer is None:
            return
        with suppress(StoreUnavailable):
            self.asked.append((await site.trainer.start(MODELS[model], {})).id)

    async def cancel(self, site, number):
        if site.trainer is None or number >= len(self.asked):
            return
        self.tried_to_cancel.add(self.asked[number])
        with suppress(StoreUnavailable, RunAlreadyOver):
            async with asyncio.timeout(60):
                await site.trainer.cancel(self.asked[number])
                self.cancelled.add(self.asked[number])

    async def end(self, site, number, how):
        living = sorted(site.machine.living)
        if number < len(living):
            self.ended.setdefault(living[number], set()).add(how)
            site.machine.end(living[number], ENDINGS[how])

    async def kill(self, site, number):
        living = sorted(site.machine.living)
        if number < len(living):
            self.lost.add(living[number])
            site.machine.end(living[number])

    async def crash(self, site):
        site.crash()

    async def lose_machine(self, site):
        site.powered = False
        self.lost |= set(site.machine.living)
        site.crash()
        for run_id in list(site.machine.living):
            site.machine.end(run_id)

    async def steps(self, site, number):
        for _ in range(number):
            await asyncio.sleep(0)

    async def wait(self, site, seconds):
        if not site.powered and seconds > LEASE_S:  # what was begun there and not even told may be lost as well
            self.lost |= {run.id for run in self.store._runs.values() if run.place.server == site.place.server}
        await asyncio.sleep(seconds)

    async def set_store(self, site, state):
        self.store.state = state

    async def come_to_rest(self):
        async with asyncio.timeout(100_000):
            for site in self.sites:
                site.powered = True
                if site.trainer is None:
                    await site.start()
            while any(not run.state.over for run in self.store._runs.values()):
                for site in self.sites:
                    for run_id in set(site.machine.living) & self._going_on():
                        self.ended.setdefault(run_id, set()).add(RunState.SUCCEEDED)
                        site.machine.end(run_id, ENDINGS[RunState.SUCCEEDED])
                await asyncio.sleep(1)
            await asyncio.sleep(10)
            assert not any(site.machine.living for site in self.sites)

    def _going_on(self):
        return {run_id for run_id, run in self.store._runs.items() if not run.state.over}

    def check(self):
        runs = self.store._runs
        assert set(self.asked) <= set(runs)
        started = Counter(run_id for site in self.sites for run_id in site.machine.started)
        for run_id, run in runs.items():
            assert started[run_id] <= 1, run
            if run_id in self.cancelled:
                assert run.state is RunState.CANCELLED, run
            elif run_id not in self.asked and run.state is RunState.FAILED:
                assert started[run_id] == 0 or run.state in self.ended[run_id]
            elif run.state in ENDINGS:
                assert started[run_id] == 1
                assert run.state in self.ended[run_id], run
            elif run.state is RunState.CANCELLED:
                assert run_id in self.tried_to_cancel
            elif run_id in self.asked:
                assert run.state is RunState.INTERRUPTED, run
                assert run_id in self.lost, run


def play(history, servers):
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=HurriedLoop) as runner:
        world = World(Path(folder), servers)
        runner.run(world.live(history))
        world.check()


@settings(max_examples=60)
@given(histories)
def test_one_server_keeps_its_promises(history):
    play(history, 1)


@settings(max_examples=60)
@given(histories)
def test_two_servers_keep_their_promises(history):
    play(history, 2)
