"""Training runs as real processes: how they end, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from deepaas_core.domain.model import Source
from deepaas_core.domain.training import Process, Run, RunState
from deepaas_core.executors import runs as runs_module
from deepaas_core.executors.runs import RunProcesses
from tests.e2e.runs import MODEL

pytestmark = pytest.mark.e2e
SOURCE = Source("torment", "deepaas.model", "torment", "torment", "1.0")


@pytest.fixture
async def processes(tmp_path, monkeypatch):
    (tmp_path / "torment.py").write_text(MODEL)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), root)))
    monkeypatch.setenv("DEEPAAS_CORE_SECRET", "hush")
    processes = RunProcesses(tmp_path / "runs", cancel_grace_s=0.5)
    yield processes
    for folder in (tmp_path / "runs").glob("*"):
        await processes.sweep(folder.name)


async def prepared(processes, **values):
    run = Run.queued("torment", "1.0", values, datetime.now(UTC))
    await processes.prepare(run, SOURCE, values, ())
    return run.id


async def begun(processes, **values):
    run_id = await prepared(processes, **values)
    return run_id, await processes.start(run_id)


async def ended(processes, **values):
    run_id, process = await begun(processes, **values)
    return run_id, await processes.ending(run_id, await processes.wait(process))


async def printed(processes, run_id, text):
    async with asyncio.timeout(10):
        while text not in (log := (await processes.read_log(run_id, 0, 2**20))[0]):
            await asyncio.sleep(0.02)
    return log


def living(run_id):
    return runs_module._tagged(run_id)


async def test_what_train_returns_is_the_result(processes):
    run_id, ending = await ended(processes, what="save", content="abc")
    assert ending.state is RunState.SUCCEEDED
    assert ending.result == {"saved": "abc", "loss": None}
    assert (processes.model_dir(run_id) / "weights.txt").read_text() == "abc"
    assert b"training: save" in await printed(processes, run_id, b"training")


async def test_a_coroutine_is_awaited(processes):
    assert (await ended(processes, what="later"))[1].result == "later"


async def test_a_model_can_say_how_it_is_getting_on(processes):
    run_id, ending = await ended(processes, what="report")
    assert ending.result is False
    events = [json.loads(line) for line in (processes.folder(run_id) / "events.ndjson").read_text().splitlines()]
    assert [event["event"] for event in events] == ["metrics", "progress", "artifact"]
    assert events[0]["values"]["loss"] is None
    assert (processes.folder(run_id) / "artifacts" / "plot.txt").read_text() == "plot"


async def test_an_exception_is_told_with_its_traceback(processes):
    run_id, ending = await ended(processes, what="raise")
    assert ending.state is RunState.FAILED
    assert (ending.error.kind, ending.error.message) == ("ValueError", "no such luck")
    assert "do_raise" in ending.error.traceback
    assert "executors" not in ending.error.traceback
    assert b"no such luck" in await printed(processes, run_id, b"no such luck")


@pytest.mark.parametrize(
    "values, state, kind, text",
    [
        ({"what": "unimplemented"}, RunState.FAILED, "NotImplementedError", "not for this one"),
        ({"what": "exit", "code": 3}, RunState.FAILED, "SystemExit", "sys.exit(3)"),
        ({"what": "exit", "code": 0}, RunState.FAILED, "SystemExit", "sys.exit(0)"),
        ({"what": "hard_exit", "code": 5}, RunState.FAILED, "exit", "exit code 5"),
        ({"what": "hard_exit", "code": 0}, RunState.FAILED, "exit", "exit code 0"),
        ({"what": "signal", "number": signal.SIGKILL}, RunState.FAILED, "signal", "SIGKILL"),
        ({"what": "signal", "number": signal.SIGSEGV}, RunState.FAILED, "signal", "SIGSEGV"),
        ({"what": "signal", "number": signal.SIGTERM}, RunState.INTERRUPTED, "signal", "SIGTERM"),
        ({"what": "unencodable"}, RunState.FAILED, "result", "model[1]"),
        ({"what": "raise", "code": 1}, RunState.FAILED, "TypeError", "code"),
    ],
    ids=lambda value: value.get("what") if isinstance(value, dict) else None,
)
async def test_every_end_leaves_a_reason(processes, values, state, kind, text):
    run_id, ending = await ended(processes, **values)
    assert (ending.state, ending.error.kind) == (state, kind)
    assert text in ending.error.message
    assert not living(run_id)


async def test_a_model_that_cannot_be_imported_fails(processes, tmp_path):
    (tmp_path / "torment.py").write_text("import nothing_of_the_sort")
    _, ending = await ended(processes)
    assert ending.error.kind == "ModuleNotFoundError"


async def test_the_supervisor_being_killed_is_a_reason_too(processes):
    run_id, process = await begun(processes, what="wait")
    await printed(processes, run_id, b"wait")
    os.kill(process.pid, signal.SIGKILL)
    code = await processes.wait(process)
    await processes.sweep(run_id)
    ending = await processes.ending(run_id, code)
    assert (ending.state, ending.error.kind) == (RunState.FAILED, "signal")
    assert not living(run_id)


async def test_being_terminated_from_outside_gives_the_model_time_to_tidy_up(processes, tmp_path):
    run_id, process = await begun(processes, what="tidy", path=str(tmp_path / "tidied"))
    await printed(processes, run_id, b"tidy")
    os.kill(process.pid, signal.SIGTERM)
    ending = await processes.ending(run_id, await processes.wait(process))
    assert ending.state is RunState.INTERRUPTED
    assert (tmp_path / "tidied").exists()


async def test_a_killed_run_may_stop_by_itself(processes, tmp_path):
    run_id, process = await begun(processes, what="polite", path=str(tmp_path / "stopped"))
    await printed(processes, run_id, b"asked")
    await processes.kill(run_id, process)
    assert (tmp_path / "stopped").exists()
    assert not living(run_id)


async def test_a_stubborn_run_is_killed_with_all_it_started(processes):
    run_id, process = await begun(processes, what="stubborn")
    await printed(processes, run_id, b"settled")
    assert len(living(run_id)) >= 5
    async with asyncio.timeout(5):
        await processes.kill(run_id, process)
    assert not living(run_id)
    assert not processes.alive(process)


async def test_what_a_run_leaves_behind_ends_with_it(processes):
    _, ending = await ended(processes, what="leave_behind")
    assert not psutil.pid_exists(ending.result)


async def test_a_forked_child_that_returns_does_not_answer(processes):
    assert (await ended(processes, what="fork_and_return"))[1].result == "parent"


async def test_what_a_model_forks_ends_when_the_model_asks_it_to(processes):
    assert (await ended(processes, what="end_a_fork"))[1].result == -signal.SIGTERM


async def test_a_job_is_executed_once(processes):
    run_id = await prepared(processes, what="nothing")
    first, second = await asyncio.gather(processes.start(run_id), processes.start(run_id))
    codes = [await processes.wait(first), await processes.wait(second)]
    assert sorted(codes) == [0, 75]
    assert (await processes.read_log(run_id, 0, 100))[0].count(b"training") == 1


async def test_a_withdrawn_job_is_not_executed(processes):
    run_id = await prepared(processes, what="nothing")
    assert processes.waits(run_id)
    processes.withdraw(run_id)
    assert not processes.waits(run_id)
    assert await processes.wait(await processes.start(run_id)) == 75


async def test_the_arguments_do_not_stay_in_the_folder(processes):
    run_id, _ = await ended(processes, password="swordfish")
    kept = [path for path in processes.folder(run_id).rglob("*") if path.is_file() and path.name != "result.json"]
    assert not [path for path in kept if b"swordfish" in path.read_bytes()]


async def test_a_run_gets_none_of_the_servers_secrets(processes):
    run_id, _ = await begun(processes, what="wait")
    await printed(processes, run_id, b"wait")
    assert "DEEPAAS_CORE_SECRET" not in living(run_id)[0].environ()
    await processes.sweep(run_id)


async def test_a_run_can_be_found_and_watched_by_who_did_not_start_it(processes, tmp_path):
    run_id = await prepared(processes, what="wait_for", path=str(tmp_path / "go"), result=7)
    starter = f"""
        import asyncio
        from pathlib import Path
        from deepaas_core.executors.runs import RunProcesses
        asyncio.run(RunProcesses(Path({str(tmp_path / "runs")!r})).start({run_id!r}))
    """
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", textwrap.dedent(starter)], check=True)
    await printed(processes, run_id, b"wait_for")
    process = await processes.find(run_id)
    assert process is not None
    assert processes.alive(process)
    assert run_id in await processes.strays()
    watching = asyncio.create_task(processes.wait(process))
    (tmp_path / "go").touch()
    async with asyncio.timeout(10):
        code = await watching
    assert (await processes.ending(run_id, code)).result == 7


async def test_a_reused_process_number_is_not_mistaken(processes):
    me = Process(os.getpid(), "long ago")
    assert not processes.alive(me)
    async with asyncio.timeout(2):
        assert await processes.wait(me) is None


async def test_a_process_of_before_the_machine_was_restarted_is_not_taken_for_alive(processes, monkeypatch):
    run_id, process = await begun(processes, what="wait")
    await printed(processes, run_id, b"wait")
    assert processes.alive(process)
    monkeypatch.setattr(runs_module, "_boot", lambda: "another")
    assert not processes.alive(process)


async def test_a_result_that_finds_no_room_is_a_failure_with_a_reason(processes):
    run_id = await prepared(processes)
    (processes.folder(run_id) / "exit.json").write_text('{"code": 74, "at": 1.0}')
    ending = await processes.ending(run_id, 0)
    assert (ending.state, ending.error.kind) == (RunState.FAILED, "result")
    assert "no room" in ending.error.message


async def test_a_lost_process_is_an_interruption(processes):
    run_id = await prepared(processes)
    ending = await processes.ending(run_id, None)
    assert (ending.state, ending.error.kind) == (RunState.INTERRUPTED, "lost")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"ok":true,"result":NaN}', b'{"ok":true,"result":"\\ud800"}', b"[" * 100_000]
)
async def test_a_result_that_is_no_result_is_a_failure(processes, content):
    run_id = await prepared(processes)
    (processes.folder(run_id) / "result.json").write_bytes(content)
    ending = await processes.ending(run_id, 0)
    assert (ending.state, ending.error.kind) == (RunState.FAILED, "result")


async def test_the_folder_is_its_owners_alone(processes):
    run_id, _ = await ended(processes, what="save", content="x")
    for path in (processes.folder(run_id), *processes.folder(run_id).rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_a_log_is_read_in_pieces(processes):
    run_id = await prepared(processes)
    (processes.folder(run_id) / "log.txt").write_bytes(b"0123456789")
    assert await processes.read_log(run_id, None, 4) == (b"6789", 6, 10)
    assert await processes.read_log(run_id, 2, 3) == (b"234", 2, 10)
    assert await processes.read_log(run_id, 50, 3) == (b"", 10, 10)


@pytest.mark.parametrize("name", ["log.txt", "result.json"])
async def test_what_a_model_puts_in_place_of_a_file_holds_nobody_up(processes, tmp_path, name):
    run_id = await prepared(processes)
    path = processes.folder(run_id) / name
    (tmp_path / "secret").write_text('{"ok":true,"result":"secret"}')
    for replace in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to(tmp_path / "secret")):
        path.unlink(missing_ok=True)
        replace(path)
        async with asyncio.timeout(5):
            assert await processes.read_log(run_id, None, 100) == (b"", 0, 0)
            assert (await processes.ending(run_id, None)).state is RunState.INTERRUPTED
        if path.is_dir() and not path.is_symlink():
            path.rmdir()


async def test_uploads_move_into_the_runs_folder(processes, tmp_path):
    (tmp_path / "upload.csv").write_text("1,2")
    file = {"filename": str(tmp_path / "upload.csv"), "original_filename": "mine.csv"}
    run = Run.queued("torment", "1.0", {}, datetime.now(UTC))
    await processes.prepare(run, SOURCE, {"table": file}, ["table"])
    kept = json.loads((processes.folder(run.id) / "job.json").read_text())["values"]["table"]
    assert kept["original_filename"] == "mine.csv"
    assert Path(kept["filename"]).read_text() == "1,2"
    assert not (tmp_path / "upload.csv").exists()
