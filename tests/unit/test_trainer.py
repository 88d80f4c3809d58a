"""Training as a use case, on doubles: no process, no disk but for the models' folders."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from deepaas_core.domain.arguments import Argument, Arguments, Kind
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.domain.reports import Condition, Progress, Said
from deepaas_core.domain.retention import Retention, Rule
from deepaas_core.domain.training import Ending, Place, RunState
from deepaas_core.errors import (
    CapabilityMissing,
    Conflict,
    InvalidInput,
    ModelNotReady,
    RunAlreadyOver,
    RunElsewhere,
    RunNotFound,
    StoreUnavailable,
)
from deepaas_core.serving.trainer import Served, Trainer
from deepaas_core.stores.memory import MemoryRunStore
from tests.machine import Machine

SUCCEEDED = Ending(RunState.SUCCEEDED, result="done")


class Shaky(MemoryRunStore):
    """A store that can be away."""

    away = False

    async def add(self, run):
        self._reach()
        await super().add(run)

    async def get(self, run_id):
        self._reach()
        return await super().get(run_id)

    async def queue(self, *arguments):
        self._reach()
        return await super().queue(*arguments)

    async def replace(self, old, new, **options):
        self._reach()
        return await super().replace(old, new, **options)

    def _reach(self):
        if self.away:
            raise StoreUnavailable("away")


def a_model(*arguments, capabilities=(Capability.TRAIN,), name="digits"):
    known = Arguments({argument.key: argument for argument in arguments})
    return Model(
        Source(name, "deepaas.model", "digits", "digits", "1.0"),
        frozenset(capabilities),
        {Capability.TRAIN: known},
    )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def store():
    return Shaky()


@pytest.fixture
async def new_trainer(store, machine):
    trainers = []

    async def new(**options):
        trainer = Trainer(store, machine, **options)
        trainers.append(trainer)
        await trainer.resume()
        return trainer

    yield new
    for trainer in trainers:
        await trainer.close()


@pytest.fixture
async def trainer(new_trainer):
    return await new_trainer()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def begun(trainer, machine):
    run = await trainer.start(a_model(), {})
    await until(lambda: run.id in machine.living)
    async with asyncio.timeout(10):
        while (await trainer.get(run.id)).process is None:
            await asyncio.sleep(0)
    return run


async def test_a_run_goes_from_the_queue_to_its_result(trainer, machine):
    run = await trainer.start(a_model(), {"epochs": 3})
    assert run.state is RunState.QUEUED
    await until(lambda: run.id in machine.living)
    machine.end(run.id, SUCCEEDED)
    run = await trainer.settled(run.id)
    assert (run.state, run.result, run.arguments) == (RunState.SUCCEEDED, "done", {"epochs": 3})


async def test_a_model_without_train_is_not_trained(trainer):
    with pytest.raises(CapabilityMissing):
        await trainer.start(a_model(capabilities=()), {})


async def test_more_runs_than_allowed_wait_in_order(new_trainer, machine):
    trainer = await new_trainer(max_concurrent_runs=2)
    runs = [await trainer.start(a_model(), {}) for _ in range(4)]
    await until(lambda: len(machine.started) == 2)
    assert [run.state for run in await trainer.list()][:2] == [RunState.QUEUED] * 2
    machine.end(runs[1].id, SUCCEEDED)
    await until(lambda: len(machine.started) == 3)
    machine.end(runs[0].id, SUCCEEDED)
    await until(lambda: len(machine.started) == 4)
    assert machine.started == [run.id for run in runs]


async def test_a_cancelled_run_never_becomes_succeeded(trainer, machine):
    run = await begun(trainer, machine)
    machine.endings[run.id] = SUCCEEDED
    assert (await trainer.cancel(run.id)).state is RunState.CANCELLED
    assert machine.killed == [run.id]
    assert (await trainer.settled(run.id)).state is RunState.CANCELLED


async def test_cancelling_again_changes_nothing(trainer, machine):
    run = await begun(trainer, machine)
    assert await trainer.cancel(run.id) == await trainer.cancel(run.id)
    assert len(machine.killed) == 1


async def test_a_run_that_ended_is_not_cancelled(trainer, machine):
    run = await begun(trainer, machine)
    machine.end(run.id, SUCCEEDED)
    await trainer.settled(run.id)
    with pytest.raises(RunAlreadyOver):
        await trainer.cancel(run.id)


async def test_a_run_cancelled_in_the_queue_never_begins(new_trainer, machine):
    trainer = await new_trainer(max_concurrent_runs=1)
    first, second, third = [await trainer.start(a_model(), {}) for _ in range(3)]
    await until(lambda: machine.started)
    await trainer.cancel(second.id)
    machine.end(first.id, SUCCEEDED)
    await until(lambda: len(machine.started) == 2)
    assert machine.started == [first.id, third.id]
    assert second.id not in machine.jobs


@pytest.mark.parametrize("run_id", ["0" * 32, "nonsense", "../etc", "\ud800"])
async def test_an_unknown_run_is_not_found(trainer, run_id):
    for ask in (trainer.get, trainer.cancel, trainer.read_log):
        with pytest.raises(RunNotFound):
            await ask(run_id)


async def test_secrets_reach_the_model_and_nobody_else(new_trainer, machine, store):
    trainer = await new_trainer(max_concurrent_runs=0)
    secret = Argument("password", "password", Kind.STRING, secret=True)
    login = Argument("login", "login", Kind.OBJECT, properties=(secret, Argument("user", "user", Kind.STRING)))
    values = {"password": "swordfish", "login": {"user": "me", "password": "swordfish"}}
    run = await trainer.start(a_model(secret, login), values)
    assert machine.jobs[run.id] == values
    assert (await store.get(run.id)).arguments == {"password": "***", "login": {"user": "me", "password": "***"}}


async def test_uploads_are_recorded_by_their_own_name(trainer):
    table = Argument("table", "table", Kind.FILE)
    run = await trainer.start(a_model(table), {"table": {"filename": "/tmp/x1", "original_filename": "mine.csv"}})
    assert run.arguments == {"table": "mine.csv"}


async def test_a_run_that_cannot_be_recorded_is_not_acknowledged(trainer, machine, store):
    store.away = True
    with pytest.raises(StoreUnavailable):
        await trainer.start(a_model(), {})
    assert not machine.jobs


async def test_a_full_disk_is_unavailable(trainer, machine):
    machine.broken = True
    with pytest.raises(StoreUnavailable, match="No space left"):
        await trainer.start(a_model(), {})


async def test_a_process_that_cannot_be_started_is_a_failure(new_trainer, machine):
    trainer = await new_trainer(max_concurrent_runs=0)
    run = await trainer.start(a_model(), {})
    machine.broken = True
    trainer = await new_trainer()
    run = await trainer.settled(run.id)
    assert (run.state, run.error.kind) == (RunState.FAILED, "launch")


async def test_an_outcome_waits_until_it_can_be_recorded(trainer, machine, store):
    run = await begun(trainer, machine)
    store.away = True
    machine.end(run.id, SUCCEEDED)
    await until(lambda: not machine.living)
    await asyncio.sleep(0)
    store.away = False
    assert (await trainer.settled(run.id)).state is RunState.SUCCEEDED


async def test_runs_outlive_the_server(new_trainer, machine):
    first = await new_trainer()
    run = await begun(first, machine)
    await first.close()
    assert run.id in machine.living
    second = await new_trainer()
    assert (await second.get(run.id)).state is RunState.RUNNING
    machine.end(run.id, SUCCEEDED)
    assert (await second.settled(run.id)).result == "done"


async def test_what_ended_meanwhile_is_settled_before_models_are_served(new_trainer, machine, store):
    first = await new_trainer()
    ended, lost = [await begun(first, machine) for _ in range(2)]
    await first.close()
    machine.end(ended.id, SUCCEEDED)
    machine.end(lost.id)
    await Trainer(store, machine).recover()
    assert (await store.get(ended.id)).state is RunState.SUCCEEDED
    assert (await store.get(lost.id)).state is RunState.INTERRUPTED


async def test_a_run_taken_from_the_queue_by_a_dying_server_is_begun_once(new_trainer, machine, store):
    first = await new_trainer(max_concurrent_runs=0)
    never, begun_ = [await first.start(a_model(), {}) for _ in range(2)]
    await first.close()
    for run in (never, begun_):
        await store.replace(run, run.start(run.created_at))
    await machine.start(begun_.id)
    second = await new_trainer()
    await until(lambda: len(machine.living) == 2)
    assert machine.started == [begun_.id, never.id]
    for run in (never, begun_):
        machine.end(run.id, SUCCEEDED)
        assert (await second.settled(run.id)).state is RunState.SUCCEEDED


async def test_what_is_left_of_a_cancelled_run_is_ended_by_the_next_server(new_trainer, machine, store):
    first = await new_trainer()
    run = await begun(first, machine)
    await first.close()
    now = await store.get(run.id)
    await store.replace(now, now.cancel(run.created_at))
    await new_trainer()
    await until(lambda: not machine.living)


async def test_the_queue_survives_the_server(new_trainer, machine):
    first = await new_trainer(max_concurrent_runs=0)
    run = await first.start(a_model(), {})
    await first.close()
    await new_trainer()
    await until(lambda: machine.started == [run.id])


async def test_a_trained_model_is_handed_on(trainer, machine):
    handed = asyncio.Queue()
    trainer.on_serve = lambda model, served: handed.put((served.run, served.folder))
    run = await begun(trainer, machine)
    (machine.model_dir(run.id) / "weights").touch()
    machine.end(run.id, SUCCEEDED)
    async with asyncio.timeout(10):
        assert await handed.get() == (run.id, machine.model_dir(run.id))
    assert (await trainer.current("digits")).folder == machine.model_dir(run.id)


async def test_a_run_that_leaves_no_files_takes_no_trained_model_away(trainer, machine):
    handed = asyncio.Queue()
    trainer.on_serve = lambda model, served: handed.put(served.folder)
    first, empty = await begun(trainer, machine), await begun(trainer, machine)
    (machine.model_dir(first.id) / "weights").touch()
    for run in (first, empty):
        machine.end(run.id, SUCCEEDED)
        async with asyncio.timeout(10):
            assert await handed.get() == machine.model_dir(first.id)


async def test_a_model_that_cannot_be_served_leaves_the_run_as_it_is(trainer, machine):
    async def refuse(model, served):
        raise RuntimeError("no")

    trainer.on_serve = refuse
    run = await begun(trainer, machine)
    machine.end(run.id, SUCCEEDED)
    assert (await trainer.settled(run.id)).state is RunState.SUCCEEDED


async def test_the_model_that_is_served_is_that_of_the_last_success_with_files(trainer, machine):
    assert (await trainer.current("digits")).folder is None
    runs = [await begun(trainer, machine), await begun(trainer, machine)]
    (machine.model_dir(runs[0].id) / "weights").touch()
    (machine.model_dir(runs[1].id) / "weights").touch()
    for run in reversed(runs):
        machine.end(run.id, SUCCEEDED)
        await trainer.settled(run.id)
    empty = await begun(trainer, machine)
    machine.end(empty.id, SUCCEEDED)
    await trainer.settled(empty.id)
    assert (await trainer.current("digits")).folder == machine.model_dir(runs[0].id)
    assert (await trainer.current("other")).folder is None


async def test_lists_take_filters(trainer, machine):
    run = await begun(trainer, machine)
    assert [found.id for found in await trainer.list(model="digits", state=RunState.RUNNING)] == [run.id]
    assert list(await trainer.list(state=RunState.FAILED)) == []
    assert list(await trainer.list(before="nonsense")) == []


# Fair shares.


async def test_models_take_turns(new_trainer, machine):
    waiting = await new_trainer(max_concurrent_runs=0)
    many = [await waiting.start(a_model(), {}) for _ in range(4)]
    other = await waiting.start(a_model(name="other"), {})
    await waiting.close()
    await new_trainer(max_concurrent_runs=2)
    await until(lambda: len(machine.started) == 2)
    assert machine.started == [many[0].id, other.id]


async def test_one_model_has_no_more_than_its_share(new_trainer, machine):
    trainer = await new_trainer(max_concurrent_runs=3, max_concurrent_runs_per_model=1)
    runs = [await trainer.start(a_model(), {}) for _ in range(3)]
    other = await trainer.start(a_model(name="other"), {})
    await until(lambda: len(machine.started) == 2)
    assert machine.started == [runs[0].id, other.id]
    machine.end(runs[0].id, SUCCEEDED)
    await until(lambda: len(machine.started) == 3)
    assert machine.started[2] == runs[1].id


# What a run tells, and trying again.


async def test_what_a_run_told_stays_with_its_record(trainer, machine, store):
    run = await begun(trainer, machine)
    machine.tell(run.id, "metrics", loss=0.5, accuracy=0.8)
    machine.tell(run.id, "progress", done=2, total=4)
    machine.tell(run.id, "metrics", loss=0.25)
    machine.end(run.id, SUCCEEDED)
    said = (await trainer.settled(run.id)).said
    assert said == Said(Progress(2, 4), {"loss": 0.25, "accuracy": 0.8}, 2)


async def test_what_a_cancelled_run_told_stays_as_well(trainer, machine, store):
    run = await begun(trainer, machine)
    machine.tell(run.id, "metrics", loss=0.5)
    await trainer.cancel(run.id)
    assert (await store.get(run.id)).said.metrics == {"loss": 0.5}


async def test_a_run_is_tried_again_with_changes(trainer, machine):
    model = a_model(Argument("epochs", "epochs", Kind.INTEGER), Argument("rate", "rate", Kind.NUMBER))
    old = await trainer.start(model, {"epochs": 3, "rate": 0.5}, promote_if=Condition.parse("loss < 1"))
    new = await trainer.retry(old.id, model, {"epochs": 5})
    assert new.arguments == {"epochs": 5, "rate": 0.5}
    assert (new.retry_of, str(new.promote_if)) == (old.id, "loss < 1")
    assert new.id != old.id


async def test_a_retry_takes_the_same_files_and_may_go_on_from_the_same_model(trainer, machine):
    model = a_model(Argument("table", "table", Kind.FILE))
    file = {"filename": "/tmp/x1", "original_filename": "mine.csv"}
    old = await trainer.start(model, {"table": file})
    with pytest.raises(Conflict):
        await trainer.retry(old.id, model, {}, resume=True)
    (machine.model_dir(old.id) / "weights").touch()
    await trainer.cancel(old.id)
    new = await trainer.retry(old.id, model, {}, resume=True)
    assert machine.uploads[new.id] == {"table": file}
    assert machine.resumed[new.id] == machine.model_dir(old.id)


async def test_a_retry_asks_for_secrets_again(trainer):
    model = a_model(Argument("password", "password", Kind.STRING, secret=True))
    old = await trainer.start(model, {"password": "swordfish"})
    with pytest.raises(InvalidInput, match="/arguments/password"):
        await trainer.retry(old.id, model, {})
    await trainer.retry(old.id, model, {"password": "swordfish"})


async def test_a_retry_is_checked(trainer):
    model = a_model(Argument("epochs", "epochs", Kind.INTEGER))
    old = await trainer.start(model, {"epochs": 3})
    with pytest.raises(InvalidInput):
        await trainer.retry(old.id, model, {"epochs": "many"})
    with pytest.raises(InvalidInput):
        await trainer.retry(old.id, model, {"nonsense": 1})


# Which model is served.


async def trained(trainer, machine, accuracy=None, promote_if=None):
    run = await trainer.start(a_model(), {}, promote_if=promote_if)
    await machine.begun(run.id)
    (machine.model_dir(run.id) / "weights").touch()
    if accuracy is not None:
        machine.tell(run.id, "metrics", accuracy=accuracy)
    machine.end(run.id, SUCCEEDED)
    return await trainer.settled(run.id)


async def test_only_a_model_that_is_good_enough_is_served(trainer, machine):
    condition = Condition.parse("accuracy >= 0.9")
    good = await trained(trainer, machine, 0.95, condition)
    await trained(trainer, machine, 0.5, condition)
    await trained(trainer, machine, None, condition)
    assert (await trainer.current("digits")).run == good.id


async def test_an_earlier_model_is_served_until_a_later_run_succeeds(new_trainer, trainer, machine):
    handed = []
    first, second = [await trained(trainer, machine) for _ in range(2)]

    async def note(model, served):
        handed.append((model, served.run))

    trainer.on_serve = note
    assert (await trainer.choose("digits", first.id)).folder == machine.model_dir(first.id)
    assert handed == [("digits", first.id)]
    assert (await trainer.current("digits")).run == first.id
    await trainer.close()
    trainer = await new_trainer()
    assert (await trainer.current("digits")).run == first.id
    third = await trained(trainer, machine)
    assert (await trainer.current("digits")).run == third.id
    assert second.id != third.id


async def test_the_model_as_it_was_installed_can_be_chosen(trainer, machine):
    await trained(trainer, machine)
    await trainer.choose("digits", None)
    assert await trainer.current("digits") == Served()


async def test_what_cannot_be_served_cannot_be_chosen(trainer, machine):
    run = await trained(trainer, machine)
    going = await begun(trainer, machine)
    with pytest.raises(Conflict):
        await trainer.choose("other", run.id)
    with pytest.raises(Conflict):
        await trainer.choose("digits", going.id)
    with pytest.raises(RunNotFound):
        await trainer.choose("digits", "0" * 32)


async def test_a_choice_that_does_not_start_is_not_kept(trainer, machine):
    first, second = [await trained(trainer, machine) for _ in range(2)]

    async def refuse(model, served):
        raise ModelNotReady(model, "no")

    trainer.on_serve = refuse
    with pytest.raises(ModelNotReady):
        await trainer.choose("digits", first.id)
    assert (await trainer.current("digits")).run == second.id


async def test_deleting_takes_everything_but_what_is_served_or_goes_on(trainer, machine):
    old, served = [await trained(trainer, machine) for _ in range(2)]
    going = await begun(trainer, machine)
    for run in (served, going):
        with pytest.raises(Conflict):
            await trainer.purge(run.id)
    await trainer.purge(old.id)
    with pytest.raises(RunNotFound):
        await trainer.get(old.id)
    assert not machine.model_dir(old.id).exists()


async def test_a_model_that_is_still_in_use_is_not_deleted(trainer, machine):
    first, second = [await trained(trainer, machine) for _ in range(2)]
    trainer.in_use = lambda model: machine.model_dir(first.id)  # the second one does not start, say
    with pytest.raises(Conflict, match="is served"):
        await trainer.purge(first.id)
    trainer.in_use = lambda model: machine.model_dir(second.id)
    await trainer.purge(first.id)


async def test_a_run_from_which_another_goes_on_is_not_deleted(new_trainer, machine):
    trainer = await new_trainer(max_concurrent_runs=1)
    old = await trained(trainer, machine)
    await trained(trainer, machine)
    going = await trainer.retry(old.id, a_model(), {}, resume=True)
    with pytest.raises(Conflict, match=going.id):
        await trainer.purge(old.id)
    await trainer.cancel(going.id)
    await trainer.purge(old.id)


# Housekeeping.


async def test_nothing_is_deleted_unless_it_is_asked_for(trainer, machine):
    run = await trained(trainer, machine)
    await trained(trainer, machine)
    await trainer.tidy()
    assert (await trainer.get(run.id)).id == run.id
    assert (run.id in machine.logs, machine.forgotten) == (False, [])


async def test_old_runs_go_by_number_but_for_the_one_that_is_served(new_trainer, machine):
    trainer = await new_trainer(retention=Retention(runs=Rule(count=1)))
    served, *more = [await trained(trainer, machine) for _ in range(4)]
    await trainer.choose("digits", served.id)
    going = await begun(trainer, machine)
    await trainer.tidy()
    assert [run.id for run in await trainer.list()] == [going.id, more[-1].id, served.id]
    assert [machine.model_dir(run.id).exists() for run in more] == [False, False, True]


async def test_logs_and_artifacts_go_by_age_and_the_record_stays(new_trainer, machine):
    trainer = await new_trainer(retention=Retention(logs=Rule(days=0), artifacts=Rule(days=0)))
    run = await trained(trainer, machine)
    machine.logs[run.id] = b"said"
    await trainer.tidy()
    assert (await trainer.get(run.id)).state is RunState.SUCCEEDED
    assert (run.id in machine.logs, machine.forgotten) == (False, [run.id])
    assert machine.model_dir(run.id).exists()


async def test_what_was_made_ready_and_never_recorded_is_removed(trainer, machine, store):
    waiting = await begun(trainer, machine)
    await machine.prepare(replace(waiting, id="f" * 32), None, {}, ())
    await trainer.tidy()
    assert set(machine.jobs) == set()
    assert not machine.model_dir("f" * 32).exists()
    assert machine.model_dir(waiting.id).exists()


# Mending.


async def test_a_run_that_was_lost_sight_of_is_found_again(trainer, machine, monkeypatch):
    run = await begun(trainer, machine)
    monkeypatch.setattr("deepaas_core.serving.trainer.LOOK_AGAIN_S", 0.01)
    lost = trainer._carried[run.id]
    lost.cancel()
    await until(lambda: trainer._carried.get(run.id, lost) is not lost)
    machine.end(run.id, SUCCEEDED)
    assert (await trainer.settled(run.id)).state is RunState.SUCCEEDED


async def test_a_run_taken_by_nobody_knows_whom_begins_after_all(trainer, machine, store, monkeypatch):
    """The database took the run from the queue, and the line broke before it could say so."""
    take, broken = store.replace, []

    async def take_and_break(old, new, **options):
        done = await take(old, new, **options)
        if new.state is RunState.RUNNING and not broken:
            broken.append(old.id)
            raise StoreUnavailable("line broken")
        return done

    monkeypatch.setattr(store, "replace", take_and_break)
    run = await trainer.start(a_model(), {})
    await until(lambda: run.id in machine.living)
    machine.end(run.id, SUCCEEDED)
    assert (await trainer.settled(run.id)).state is RunState.SUCCEEDED
    assert broken == machine.started == [run.id]


# Several servers.


@pytest.fixture
async def new_server(store, tmp_path):
    """Trainers with a folder and a machine of their own on one store."""
    trainers = []

    async def new(name, home=None, **options):
        folder = tmp_path / (home or name)
        folder.mkdir(exist_ok=True)
        machine = Machine(folder)
        trainer = Trainer(store, machine, place=Place(name, home or name), **options)
        trainer.offered = lambda: {"digits": a_model()}
        trainers.append(trainer)
        await store.greet(name, f"http://{name}")
        await trainer.resume()
        return trainer, machine

    yield new
    for trainer in trainers:
        await trainer.close()


@pytest.fixture
def hasty(monkeypatch):
    for name in ("trainer.LOOK_AGAIN_S", "neighbours.SIGN_EVERY_S", "trainer.MAX_PAUSE_S"):
        monkeypatch.setattr(f"deepaas_core.serving.{name}", 0.01)


async def test_what_one_server_has_no_room_for_another_does(new_server, hasty):
    full, _ = await new_server("full", max_concurrent_runs=0)
    _, machine = await new_server("free")
    run = await full.start(a_model(), {"epochs": 3})
    await machine.begun(run.id)
    assert (await full.get(run.id)).place == Place("free", "free", anywhere=True)
    with pytest.raises(RunElsewhere, match="http://free"):
        await full.read_log(run.id)
    machine.tell(run.id, "metrics", loss=0.5)
    async with asyncio.timeout(10):
        while not (await full.get(run.id)).said.metrics:
            await asyncio.sleep(0.01)
    machine.end(run.id, SUCCEEDED)
    assert (await full.settled(run.id)).result == "done"


async def test_what_its_record_does_not_say_is_not_done_elsewhere(new_server, hasty):
    full, _ = await new_server("full", max_concurrent_runs=0)
    secret, table = Argument("password", "password", Kind.STRING, secret=True), Argument("table", "table", Kind.FILE)
    file = {"filename": "/tmp/x1", "original_filename": "mine.csv"}
    bound = [await full.start(a_model(secret, table), values) for values in ({"password": "x"}, {"table": file})]
    free, other = await new_server("free")
    last = await full.start(a_model(secret), {"password": None})
    await other.begun(last.id)
    assert [(await full.get(run.id)).state for run in bound] == [RunState.QUEUED] * 2
    with pytest.raises(RunElsewhere):
        await free.retry(bound[1].id, a_model(secret, table), {"password": "x"})


async def test_another_version_of_the_model_is_another_model(new_server, hasty):
    full, _ = await new_server("full", max_concurrent_runs=0)
    free, machine = await new_server("free")
    free.offered = lambda: {"digits": replace(a_model(), metadata={"version": "2.0"})}
    old = await full.start(a_model(), {})
    new = await full.start(free.offered()["digits"], {})
    await machine.begun(new.id)
    assert (await full.get(old.id)).state is RunState.QUEUED


async def test_a_run_that_somebody_else_cancelled_is_killed(new_server, hasty):
    one, machine = await new_server("one")
    two, _ = await new_server("two")
    run = await one.start(a_model(), {})
    await machine.begun(run.id)
    await two.cancel(run.id)
    await until(lambda: run.id in machine.killed)


async def test_the_runs_of_a_server_that_is_silent_are_interrupted(new_server, hasty, store):
    gone, machine = await new_server("gone")
    run = await gone.start(a_model(), {})
    await machine.begun(run.id)
    await gone.close()
    await store.greet("gone", "")
    other, _ = await new_server("other", lease_s=0.2)
    run = await other.settled(run.id)
    assert (run.state, run.error.kind) == (RunState.INTERRUPTED, "lost")


@pytest.mark.parametrize("pulse", [False, True], ids=["its server", "itself"])
async def test_a_run_of_which_there_are_signs_of_life_is_not_interrupted(new_server, hasty, store, pulse):
    away, machine = await new_server("away", home="shared")
    run = await away.start(a_model(), {})
    await machine.begun(run.id)
    await away.close()
    other, here = await new_server("other", home="shared", lease_s=0.2)
    for beat in range(60):
        if pulse:
            here.pulses[run.id] = beat
        else:
            await store.greet("away", "")
        await asyncio.sleep(0.01)
    assert (await other.get(run.id)).state is RunState.RUNNING


async def test_what_a_lost_server_left_in_a_shared_folder_tells_how_its_run_ended(new_server, hasty, store):
    gone, machine = await new_server("gone", home="shared")
    run = await gone.start(a_model(), {})
    await machine.begun(run.id)
    await gone.close()
    other, here = await new_server("other", home="shared", lease_s=0.2)
    here.endings[run.id] = SUCCEEDED
    assert (await other.settled(run.id)).state is RunState.SUCCEEDED


async def test_a_server_that_comes_back_to_find_its_run_given_up_ends_it(new_server, hasty, store):
    slow, machine = await new_server("slow")
    run = await slow.start(a_model(), {})
    await machine.begun(run.id)
    now = await store.get(run.id)
    await store.replace(now, now.interrupt(now.created_at, "thought to be lost"))
    await until(lambda: run.id in machine.killed)


async def test_what_is_chosen_on_one_server_is_served_by_all_that_have_it(new_server, hasty):
    one, machine = await new_server("one", home="shared")
    first, second = [await trained(one, machine) for _ in range(2)]
    other, _ = await new_server("other", home="shared")
    using = {"digits": machine.model_dir(second.id)}
    other.in_use = using.get

    async def switch(model, served):
        using[model] = served.folder

    other.on_serve = switch
    await one.choose("digits", first.id)
    await until(lambda: using["digits"] == machine.model_dir(first.id))


async def test_a_server_that_is_away_is_looked_after(new_server, store):
    away, machine = await new_server("away")
    ended, cancelled, going = [await begun(away, machine) for _ in range(2)] + [await away.start(a_model(), {})]
    await away.close()
    tending = Trainer(store, machine, place=Place("away", "away"))
    machine.end(ended.id, SUCCEEDED)
    now = await store.get(cancelled.id)
    await store.replace(now, now.cancel(now.created_at))
    assert not await tending.tend()
    assert (await store.get(ended.id)).state is RunState.SUCCEEDED
    assert cancelled.id not in machine.living
    assert (await store.get(going.id)).state is RunState.QUEUED
