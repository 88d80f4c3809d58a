"""Every place that keeps training runs, by the same suite; and what is special to the database."""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import signal
import sqlite3
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from deepaas_core import stores
from deepaas_core.domain.reports import Condition, Progress, Said
from deepaas_core.domain.training import Choice, Place, Process, Run, RunError, RunState
from deepaas_core.errors import Conflict, RunNotFound, SettingsError, StoreDamaged, StoreUnavailable, StoreUnusable
from deepaas_core.stores import migrations
from deepaas_core.stores.database import FILE_NAME, Database, metadata
from deepaas_core.stores.memory import MemoryRunStore
from deepaas_core.stores.migrations.__main__ import statements
from deepaas_core.stores.sql import SqlRunStore

NOW = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


def a_run(model="digits", **arguments) -> Run:
    return Run.queued(model, "1.0.0", arguments, NOW)


class RunStoreContract:
    """What any `RunStore` must do. Inherit it and offer a fixture ``store``."""

    async def test_a_run_comes_back_as_it_was_stored(self, store):
        run = a_run(epochs=3, name="ü\x00\ud800", nested={"a": [None, 1.5, True]})
        await store.add(run)
        assert await store.get(run.id) == run

    async def test_an_ended_run_comes_back_whole(self, store):
        queued = a_run()
        await store.add(queued)
        running = queued.start(NOW + timedelta(seconds=1)).attach(Process(12, "345"))
        failed = running.fail(NOW + timedelta(hours=1), RunError("ValueError", "no", "Traceback …"))
        assert await store.replace(queued, running)
        assert await store.replace(running, failed)
        assert await store.get(queued.id) == failed
        assert (await store.get(queued.id)).duration_s == 3599

    async def test_a_result_comes_back(self, store):
        queued = a_run()
        running = queued.start(NOW)
        await store.add(queued)
        await store.replace(queued, running)
        await store.replace(running, running.succeed(NOW, {"loss": [0.5, None]}))
        assert (await store.get(queued.id)).result == {"loss": [0.5, None]}

    async def test_runs_are_counted_by_state(self, store):
        assert not any((await store.count()).values())
        for _ in range(2):
            await store.add(a_run())
        running = a_run()
        await store.add(running)
        await store.replace(running, running.start(NOW))
        assert await store.count() == {RunState.QUEUED: 2, RunState.RUNNING: 1}

    async def test_an_unknown_id_is_not_found(self, store):
        with pytest.raises(RunNotFound):
            await store.get("0" * 32)

    async def test_an_id_is_kept_once(self, store):
        run = a_run()
        await store.add(run)
        with pytest.raises(Conflict):
            await store.add(run)

    async def test_lists_are_newest_first_and_paged(self, store):
        runs = [a_run() for _ in range(5)]
        for run in runs:
            await store.add(run)
        ids = [run.id for run in reversed(runs)]
        first = await store.list(limit=2)
        rest = await store.list(before=first[-1].id)
        assert [run.id for run in (*first, *rest)] == ids
        assert list(await store.list(before="0" * 32)) == []

    async def test_lists_are_filtered(self, store):
        digits, other = a_run("digits"), a_run("other")
        await store.add(digits)
        await store.add(other)
        await store.replace(other, other.start(NOW))
        assert [run.id for run in await store.list(model="digits")] == [digits.id]
        assert [run.id for run in await store.list(states={RunState.RUNNING, RunState.FAILED})] == [other.id]
        assert list(await store.list(model="digits", states={RunState.RUNNING})) == []

    async def test_lists_leave_out_tracebacks_and_long_results(self, store):
        failed, long, short = a_run(), a_run(), a_run()
        endings = {
            failed.id: failed.start(NOW).fail(NOW, RunError("ValueError", "no", "Traceback …")),
            long.id: long.start(NOW).succeed(NOW, "x" * 100_000),
            short.id: short.start(NOW).succeed(NOW, [1, 2]),
        }
        for run in (failed, long, short):
            await store.add(run)
            await store.replace(run, endings[run.id])
        listed = {run.id: run for run in await store.list()}
        assert listed[failed.id].error == RunError("ValueError", "no", "")
        assert listed[long.id].result is None
        assert listed[short.id].result == [1, 2]
        assert (await store.get(long.id)).result == "x" * 100_000

    async def test_the_queue_is_oldest_first_and_holds_what_waits(self, store):
        first, second, third = (a_run() for _ in range(3))
        for run in (first, second, third):
            await store.add(run)
        await store.replace(first, first.start(NOW))
        assert [run.id for run in await store.queue(5)] == [second.id, third.id]
        assert [run.id for run in await store.queue(1)] == [second.id]

    async def test_a_run_put_back_into_the_queue_keeps_its_place(self, store):
        first, second = a_run(), a_run()
        await store.add(first)
        await store.add(second)
        running = first.start(NOW)
        await store.replace(first, running)
        await store.replace(running, running.requeue())
        assert [run.id for run in await store.queue(5)] == [first.id, second.id]

    async def test_of_many_who_take_a_run_one_gets_it(self, store):
        run = a_run()
        await store.add(run)
        taken = await asyncio.gather(*(store.replace(run, run.start(NOW)) for _ in range(20)))
        assert taken.count(True) == 1

    async def test_a_run_that_moved_on_is_not_replaced(self, store):
        queued = a_run()
        await store.add(queued)
        running = queued.start(NOW)
        attached = running.attach(Process(1, "a"))
        await store.replace(queued, running)
        await store.replace(running, attached)
        assert not await store.replace(running, running.cancel(NOW))
        assert not await store.replace(running.attach(Process(1, "b")), running.cancel(NOW))
        assert await store.get(queued.id) == attached

    async def test_an_unknown_run_is_not_replaced(self, store):
        run = a_run()
        assert not await store.replace(run, run.start(NOW))

    async def test_what_a_run_told_comes_back(self, store):
        told = Said(Progress(3, 10), {"loss": 0.5, "name": "ü\x00", "gone": None}, 7)
        condition = Condition.parse("accuracy >= 0.9")
        place = Place("s" * 32, "h" * 32)
        run = Run.queued("digits", "1.0", {}, NOW, said=told, retry_of="0" * 32, promote_if=condition, place=place)
        await store.add(run)
        assert await store.get(run.id) == run
        assert list(await store.list()) == [run]

    async def test_lists_are_filtered_by_id_and_by_time(self, store):
        early, late = a_run(), replace(a_run(), created_at=NOW + timedelta(hours=1))
        await store.add(early)
        await store.add(late)
        assert list(await store.list(ids=[early.id, "0" * 32])) == [early]
        assert list(await store.list(ids=[])) == []
        assert list(await store.list(since=late.created_at)) == [late]
        assert list(await store.list(until=late.created_at)) == [early]

    async def test_the_queue_holds_something_of_every_model_and_of_one_home(self, store):
        many, other = [a_run("many") for _ in range(5)], a_run("other")
        for run in (*many, other, replace(a_run(), place=Place(home="elsewhere"))):
            await store.add(run)
        assert [run.id for run in await store.queue(2)] == [many[0].id, many[1].id, other.id]
        assert len(await store.queue(2, home="elsewhere")) == 1

    async def test_queued_runs_know_their_place(self, store):
        first, second, third = (a_run() for _ in range(3))
        for run in (first, second, third):
            await store.add(run)
        await store.replace(first, first.start(NOW))
        assert await store.positions() == {second.id: 1, third.id: 2}

    async def test_a_run_that_is_over_is_removed_and_no_other(self, store):
        run, alive = a_run(), a_run()
        await store.add(run)
        await store.add(alive)
        await store.replace(run, run.cancel(NOW))
        assert [await store.remove(each.id) for each in (run, alive, run)] == [True, False, False]
        assert [each.id for each in await store.list()] == [alive.id]

    async def test_the_last_choice_counts(self, store):
        assert await store.chosen("digits") is None
        await store.choose("digits", Choice("0" * 32, NOW))
        await store.choose("digits", Choice(None, NOW + timedelta(hours=1)))
        assert await store.chosen("digits") == Choice(None, NOW + timedelta(hours=1))
        assert await store.chosen("other") is None

    async def test_servers_that_greeted_are_known(self, store):
        for address in ("http://old", "http://new"):
            await store.greet("a", address)
        [(server, peer)] = (await store.peers()).items()
        assert (server, peer.address) == ("a", "http://new")
        assert peer.seen_at.tzinfo is not None

    async def test_a_server_is_seen_anew_with_each_greeting(self, store):
        run = replace(a_run(), place=Place("a", "home"))
        await store.add(run)
        running = run.start(NOW)
        await store.replace(run, running)
        await store.greet("a", "")
        before = (await store.peers())["a"].seen_at
        while (await store.peers())["a"].seen_at == before:
            await store.greet("a", "")
            await asyncio.sleep(0.05)
        seen_at = (await store.peers())["a"].seen_at
        assert not await store.replace(running, running.interrupt(NOW, "lost"), unseen_since=before)
        assert await store.replace(running, running.interrupt(NOW, "lost"), unseen_since=seen_at)

    async def test_what_may_be_executed_anywhere_is_in_every_queue_of_its_model(self, store):
        free, bound = (replace(a_run(), place=Place("a", "a's", anywhere)) for anywhere in (True, False))
        for run in (free, bound):
            await store.add(run)
        assert await store.queue(5, "a's") == [free, bound]
        assert await store.queue(5, "b's", {"digits": "1.0.0"}) == [free]
        assert list(await store.queue(5, "b's", {"digits": "2.0.0", "other": "1.0.0"})) == []
        assert list(await store.queue(5, "b's")) == []

    async def test_a_run_that_went_to_another_server_is_not_replaced(self, store):
        run = replace(a_run(), place=Place("a", "home", anywhere=True))
        await store.add(run)
        taken = run.start(NOW, Place("b", "other"))
        assert await store.replace(run, taken)
        assert not await store.replace(run.start(NOW), run.start(NOW).cancel(NOW))
        assert (await store.get(run.id)).place == Place("b", "other", anywhere=True)


class TestMemory(RunStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryRunStore()


class TestPostgresql(RunStoreContract):
    @pytest.fixture
    async def store(self, postgres, tmp_path):
        database = await Database.open(postgres.with_tables(), tmp_path)
        store = SqlRunStore(database)
        yield store
        await database.close()


class TestSqlite(RunStoreContract):
    @pytest.fixture
    async def store(self, path):
        database = await Database.open("", path.parent)
        store = SqlRunStore(database)
        yield store
        await database.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / FILE_NAME


async def test_records_outlive_the_store(path):
    database = await Database.open("", path.parent)
    store = SqlRunStore(database)
    run = a_run(epochs=3)
    await store.add(run)
    await database.close()
    database = await Database.open("", path.parent)
    store = SqlRunStore(database)
    assert await store.get(run.id) == run
    await database.close()


async def test_the_database_is_its_owners_alone(path):
    database = await Database.open("", path.parent)
    store = SqlRunStore(database)
    await store.add(a_run())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await database.close()
    assert set(modes.values()) == {0o600}
    assert len(modes) > 1
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_commits_are_synced(path):
    database = await Database.open("", path.parent)
    async with database._engine.connect() as connection:
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one() == 2
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one() == "wal"
    await database.close()


@pytest.mark.parametrize("offset", [0, 4096 + 100], ids=["head", "page"])
async def test_a_damaged_database_stops_the_start_and_is_left_alone(path, offset):
    database = await Database.open("", path.parent)
    store = SqlRunStore(database)
    for _ in range(50):
        await store.add(a_run(text="x" * 500))
    await database.close()
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 4000] = os.urandom(4000)
    path.write_bytes(damaged)
    with pytest.raises(StoreDamaged):
        await Database.open("", path.parent)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("pause_s", [0, 0.002, 0.02])
async def test_a_statement_that_is_given_up_twice_holds_nobody_up(path, pause_s):
    database = await Database.open("", path.parent)
    counting = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t WHERE x < 500000) SELECT count(*) FROM t"

    async def count():
        async with database.transaction() as connection:
            await connection.execute(sa.text(counting))

    others = asyncio.all_tasks()
    task = asyncio.create_task(count())
    await asyncio.sleep(pause_s)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(task, return_exceptions=True)
    await database.close()
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - others:
            await asyncio.sleep(0.005)


async def test_a_database_of_a_newer_version_is_left_alone(path):
    await (await Database.open("", path.parent)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreUnusable, match="9999"):
        await Database.open("", path.parent)


@pytest.mark.parametrize("chain", [migrations.RECORDS, migrations.PREDICTIONS], ids=lambda chain: chain.folder)
def test_a_new_file_gets_what_the_steps_come_to(chain):
    hint = "call: python -m deepaas_core.stores.migrations"
    assert chain.statements.read_text() == statements(chain), hint


async def test_tables_of_which_the_making_is_cut_short_are_not_there(path, monkeypatch):
    def cut_short(*given):
        make(*given)
        raise OSError("power")

    make = migrations.make
    monkeypatch.setattr(migrations, "make", cut_short)
    with pytest.raises(StoreUnavailable):
        await Database.open("", path.parent)
    monkeypatch.undo()
    database = await Database.open("", path.parent)
    store = SqlRunStore(database)
    assert list(await store.list()) == []
    await database.close()


async def test_a_locked_database_is_unavailable_and_then_available(path, monkeypatch):
    monkeypatch.setattr("deepaas_core.stores.database.BUSY_TIMEOUT_S", 0.05)
    database = await Database.open("", path.parent)
    store = SqlRunStore(database)
    run = a_run()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.add(run)
    other.execute("ROLLBACK")
    other.close()
    await store.add(run)
    assert await store.get(run.id) == run
    await database.close()


async def test_a_full_disk_is_unavailable_and_then_available(path):
    database = await Database.open("", path.parent)
    store = SqlRunStore(database)
    run = a_run(text="x" * 100_000)
    async with database._engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=16")
    with pytest.raises(StoreUnavailable, match="full"):
        await store.add(run)
    with pytest.raises(RunNotFound):
        await store.get(run.id)
    async with database._engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=100000")
    await store.add(run)
    assert await store.get(run.id) == run
    await database.close()


async def test_a_place_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        await Database.open("", tmp_path / "file")


async def test_the_migrations_make_the_tables_that_the_code_uses(path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    for module in pkgutil.iter_modules(stores.__path__, "deepaas_core.stores."):
        importlib.import_module(module.name)  # each kind of records adds its tables
    await (await Database.open("", path.parent)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == migrations.HEAD
    engine.dispose()


async def test_a_database_server_may_go_and_come_back(postgres, tmp_path):
    database = await Database.open(postgres.new_database("restart"), tmp_path)
    store = SqlRunStore(database)
    run, other = a_run(), a_run()
    await store.add(run)
    postgres.stop(signal.SIGQUIT)
    for attempt in (store.add(other), store.get(run.id), store.replace(run, run.start(NOW))):
        with pytest.raises(StoreUnavailable):
            await attempt
    with pytest.raises(StoreUnavailable):
        await Database.open(postgres.url("restart"), tmp_path)
    postgres.start()
    assert await store.get(run.id) == run
    await store.add(other)
    await database.close()


async def test_several_servers_make_the_tables_of_one_database_at_once(postgres, tmp_path):
    url = postgres.new_database("together")
    databases = await asyncio.gather(*(Database.open(url, tmp_path) for _ in range(4)))
    stores = [SqlRunStore(database) for database in databases]
    await stores[0].add(run := a_run())
    taken = await asyncio.gather(*(store.replace(run, run.start(NOW, Place(str(n)))) for n, store in enumerate(stores)))
    assert taken.count(True) == 1
    for database in databases:
        await database.close()


async def test_a_url_that_cannot_be_used_is_a_wrong_setting(tmp_path):
    for url in ("nonsense", "postgresql+nodriver://x/y"):
        with pytest.raises((SettingsError, StoreUnavailable)):
            await Database.open(url, tmp_path)
