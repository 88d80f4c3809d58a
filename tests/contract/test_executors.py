"""Both executors keep the contract; what only processes can promise is tested beside it."""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Source
from deepaas_core.executors.base import Call, ExecutorState
from deepaas_core.executors.inline import Inline
from deepaas_core.executors.pool import Limits, Pool
from deepaas_core.executors.process import PROGRAM, Launch
from deepaas_core.testing.executors import TARGET, ExecutorContract, answer, told, up

LAUNCH = Launch(model="told", target=TARGET)


class TestInline(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return Inline(LAUNCH, Limits(workers=1))


class TestProcess(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return Pool(LAUNCH, Limits(workers=1))


@pytest.mark.parametrize("kind", [Inline, Pool])
async def test_a_model_that_only_takes_batches_answers_single_calls(kind, tmp_path, monkeypatch):
    (tmp_path / "only_batches.py").write_text("def predict_batch(rows):\n    return [10 // row for row in rows]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    executor = await up(kind(Launch(model="batches", target="only_batches"), Limits(workers=1)))
    assert [answer(await executor.call(told(row))) for row in (1, 5)] == [10, 2]
    with pytest.raises(errors.ModelFailure):
        await executor.call(told(0))
    await executor.close(drain_s=1.0)


@pytest.fixture
async def pool():
    pool = await up(Pool(LAUNCH, Limits(workers=1)))
    yield pool
    await pool.close(drain_s=1.0)


async def test_a_call_that_cannot_be_sent_fails_at_once_and_holds_up_nobody(pool):
    with pytest.raises(errors.InvalidInput):
        await pool.call(Call(Capability.PREDICT, {"words": "\udcff", "fail_at": -1, "forever": False}))
    assert answer(await pool.call(told(1, timeout_s=5))) == 1


@pytest.fixture
async def two():
    pool = await up(Pool(LAUNCH, Limits(workers=2)))
    await until(lambda: len(pool.pids) == 2)
    yield pool
    await pool.close(drain_s=1.0)


async def until(condition, within_s=20):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "order",
    [
        {"do": "os._exit", "code": 3},
        {"do": "signal", "signal": "SIGSEGV"},
        {"do": "signal", "signal": "SIGKILL"},
        {"do": "close descriptors"},
    ],
    ids=lambda order: " ".join(map(str, order.values())),
)
async def test_a_crash_fails_the_call_inside_and_the_worker_comes_back(pool, order):
    with pytest.raises(errors.ModelCrashed):
        await pool.call(told(order))
    assert answer(await pool.call(told("again"))) == "again"


async def test_a_crash_spares_the_calls_behind_it(pool):
    crashing = asyncio.ensure_future(pool.call(told({"do": "os._exit"})))
    behind = [asyncio.ensure_future(pool.call(told(number))) for number in range(20)]
    with pytest.raises(errors.ModelCrashed):
        await crashing
    assert [answer(result) for result in await asyncio.gather(*behind)] == list(range(20))


async def test_a_call_past_its_time_costs_its_worker_and_no_other_call(pool):
    before = answer(await pool.call(told({"do": "pid"})))
    stuck = asyncio.ensure_future(pool.call(told({"do": "spin"}, timeout_s=0.3)))
    behind = [asyncio.ensure_future(pool.call(told(number))) for number in range(5)]
    with pytest.raises(errors.ModelTimeout):
        await stuck
    assert [answer(result) for result in await asyncio.gather(*behind)] == list(range(5))
    assert answer(await pool.call(told({"do": "pid"}))) != before
    assert not psutil.pid_exists(before)


async def test_a_stopped_worker_is_replaced_when_its_call_is_late(pool):
    with pytest.raises(errors.ModelTimeout):
        await pool.call(told({"do": "signal", "signal": "SIGSTOP"}, timeout_s=0.3))
    assert answer(await pool.call(told(1))) == 1


async def test_a_slow_call_does_not_hold_up_the_other_worker(two):
    slow = asyncio.ensure_future(two.call(told({"do": "sleep", "seconds": 2})))
    await asyncio.sleep(0)
    assert answer(await two.call(told("quick"))) == "quick"
    assert not slow.done()
    await slow


async def test_a_full_queue_refuses_at_once():
    pool = await up(Pool(LAUNCH, Limits(workers=1, max_queue=2)))
    held = [asyncio.ensure_future(pool.call(told({"do": "sleep", "seconds": 0.3}))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(errors.Overloaded):
        await pool.call(told(1))
    await asyncio.gather(*held)
    await pool.close(drain_s=1.0)


async def test_a_call_whose_caller_left_is_not_begun(pool):
    slow = asyncio.ensure_future(pool.call(told({"do": "sleep", "seconds": 0.3})))
    await asyncio.sleep(0)
    before = answer(await pool.call(told({"do": "calls"})))
    slow = asyncio.ensure_future(pool.call(told({"do": "sleep", "seconds": 0.3})))
    left = asyncio.ensure_future(pool.call(told("nobody waits for this")))
    await asyncio.sleep(0)
    left.cancel()
    await slow
    assert answer(await pool.call(told({"do": "calls"}))) == before + 2


async def test_a_forked_copy_of_a_worker_never_answers(pool):
    assert answer(await pool.call(told({"do": "fork twice"}))) == "once"
    for number in range(10):
        assert answer(await pool.call(told(number))) == number


async def test_children_of_a_killed_worker_are_gone_too(pool):
    child = answer(await pool.call(told({"do": "fork"})))
    assert psutil.pid_exists(child)
    with pytest.raises(errors.ModelCrashed):
        await pool.call(told({"do": "os._exit"}))
    await until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


async def test_a_flood_of_output_neither_blocks_nor_fills_the_log(pool, caplog):
    with caplog.at_level(logging.INFO, "deepaas_core.model"):
        assert answer(await pool.call(told({"do": "flood", "lines": 100_000}))) == 100_000
        await until(lambda: any("dropped" in record.message for record in caplog.records))
    assert sum(record.message == "model output" for record in caplog.records) < 20_000


async def test_prints_are_logged_under_the_models_name(pool, caplog):
    with caplog.at_level(logging.INFO, "deepaas_core.model"):
        await pool.call(told({"do": "print", "text": "hello from inside"}))
        await until(lambda: any(getattr(record, "line", "") == "hello from inside" for record in caplog.records))
    record = next(record for record in caplog.records if getattr(record, "line", "") == "hello from inside")
    assert (record.model, record.stream) == ("told", "stdout")


async def test_a_model_that_cannot_start_says_why():
    pool = await up(Pool(Launch(model="broken", target="no_such_module_anywhere"), Limits()))
    assert pool.state is ExecutorState.FAILED
    assert "no_such_module_anywhere" in pool.reason
    with pytest.raises(errors.ModelNotReady, match="no_such_module_anywhere"):
        await pool.call(told(1))
    await pool.close(drain_s=1.0)


async def test_a_start_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "sleeps_at_import.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = await up(Pool(Launch(model="late", target="sleeps_at_import", startup_timeout_s=0.5), Limits()))
    assert pool.state is ExecutorState.FAILED
    assert "0.5 s" in pool.reason
    await pool.close(drain_s=1.0)


async def test_a_replacement_is_warm_before_it_serves_and_loses_no_call(two, tmp_path):
    async def calling(answers):
        while not stop.is_set():
            answers.append(answer(await two.call(told({"do": "directory"}))))

    stop, answers = asyncio.Event(), []
    callers = [asyncio.create_task(calling(answers)) for _ in range(8)]
    await until(lambda: len(answers) > 50)
    await two.replace(Path(tmp_path))
    count = len(answers)
    await until(lambda: len(answers) > count + 50)
    stop.set()
    await asyncio.gather(*callers)
    assert answers[0] is None
    assert answers[-1] == str(tmp_path)
    assert set(answers) == {None, str(tmp_path)}


async def test_a_replacement_that_does_not_start_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "picky.py").write_text(
        "import os\nassert 'DEEPAAS_CORE_MODEL_DIR' not in os.environ, 'no model here'\n"
        "def predict_data(data): return data\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = await up(Pool(Launch(model="picky", target="picky"), Limits()))
    with pytest.raises(errors.ModelNotReady, match="no model here"):
        await pool.replace(tmp_path)
    assert answer(await pool.call(told(1))) == 1
    await pool.close(drain_s=1.0)


async def test_a_replacement_overtakes_a_start_that_hangs(tmp_path, monkeypatch):
    code = tmp_path / "slow_one.py"
    code.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = Pool(Launch(model="slow", target="slow_one"), Limits())
    pool.start()
    await until(lambda: pool._workers)
    code.write_text("def predict_data(data): return data\n")
    await pool.replace(None, Source("m", "g", "slow_one", "d", "1"))
    assert answer(await pool.call(told(1))) == 1
    await pool.close(drain_s=1.0)
    await until(lambda: not pool._workers)


def worker_processes() -> list[psutil.Process]:
    """The workers that this process has started; other tests leave children of other kinds, such as a database."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if str(PROGRAM) in child.cmdline():
                found.append(child)
    return found


async def test_closing_ends_a_replacement_that_still_starts(pool, tmp_path, monkeypatch):
    (tmp_path / "hangs_at_import.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    replacing = asyncio.ensure_future(pool.replace(None, Source("m", "g", "hangs_at_import", "d", "1")))
    await until(lambda: len(worker_processes()) == 2)
    await pool.close(drain_s=1.0)
    assert not worker_processes()
    with pytest.raises(errors.ModelNotReady):
        await replacing


async def test_closing_leaves_no_process_behind(two):
    pids = two.pids
    await two.close(drain_s=1.0)
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_workers_do_not_see_the_servers_settings(pool, monkeypatch):
    monkeypatch.setenv("DEEPAAS_CORE_STORE_URL", "postgresql://user:secret@host/db")
    with pytest.raises(errors.ModelCrashed):
        await pool.call(told({"do": "os._exit"}))
    environment = answer(await pool.call(told({"do": "environment"})))
    assert "DEEPAAS_CORE_STORE_URL" not in environment


async def test_descriptors_and_processes_stay_level_over_many_crashes(pool):
    me = psutil.Process()
    before = (me.num_fds(), me.num_threads())
    for _ in range(6):
        with pytest.raises(errors.ModelCrashed):
            await pool.call(told({"do": "os._exit"}))
    assert answer(await pool.call(told(1))) == 1
    await until(lambda: len(worker_processes()) == 1)
    assert me.num_fds() <= before[0] + 2
    assert me.num_threads() <= before[1] + os.cpu_count() + 4


async def test_a_worker_is_replaced_after_its_number_of_calls_and_no_call_is_lost():
    pool = await up(Pool(LAUNCH, Limits(workers=1, max_calls=20)))
    pids = set()
    async with asyncio.timeout(20):
        while len(pids) < 3:
            pids.update(
                [answer(result) for result in await asyncio.gather(*(pool.call(told({"do": "pid"})) for _ in range(8)))]
            )
    await pool.close(drain_s=1.0)


async def test_a_worker_that_holds_too_much_memory_is_replaced():
    pool = await up(Pool(LAUNCH, Limits(workers=1, max_memory_bytes=150 * 2**20)))
    before = answer(await pool.call(told({"do": "pid"})))
    await pool.call(told({"do": "keep", "mb": 200}))
    async with asyncio.timeout(20):
        while answer(await pool.call(told({"do": "pid"}))) == before:
            await asyncio.sleep(0.01)
    await pool.close(drain_s=1.0)
