"""Training runs as processes that live on by themselves.

A run has a session and a folder of its own and no tie to the server: it is found again by its process's number and
start time, by the tag in its environment, and by what lies in its folder:

    environment.json   whose Python and libraries it uses; null is the server's own
    job.json        what to do; taken away by the one process that begins to do it
    events.ndjson   what the model reports
    log.txt         what it prints; not bounded on disk, reading is
    inputs/         files that came with the request; inputs.json says which argument each is
    artifacts/      files the model wants kept
    model/          the trained model
    cancel          somebody has asked for the end
    heartbeat       touched every other second while the run goes on
    result.json, exit.json   how it ended, see ``worker/training.py``
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil

from deepaas_core.domain.model import Environment, Source
from deepaas_core.domain.training import Ending, Process, Run, RunError, RunState, is_run_id
from deepaas_core.executors.interpreters import inherited, interpreter_of
from deepaas_core.executors.reports import Reports, open_plain
from deepaas_core.executors.worker.training import NOT_KEPT

PROGRAM = Path(__file__).parent / "worker"
#: Every process of a run carries this in its environment, so that those which left its session are found again.
TAG = "DEEPAAS_CORE_RUN_ID"
MAX_RESULT_BYTES = 64 * 2**20
POLL_S = 0.1
_ASKED_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class RunProcesses:
    """Starts, finds, watches and ends the processes of training runs.

    Args:
        root: The folder that holds the runs' folders.
        cancel_grace_s: Seconds between asking a run to stop and killing it.
    """

    def __init__(self, root: Path, cancel_grace_s: float = 3.0):
        self._root = root
        self._grace_s = cancel_grace_s
        self.reports = Reports(root)

    def folder(self, run_id: str) -> Path:
        """The run's own folder."""
        return self._root / run_id

    def model_dir(self, run_id: str) -> Path:
        """Where the run's trained model is."""
        return self.folder(run_id) / "model"

    # Starting.

    async def prepare(
        self,
        run: Run,
        source: Source,
        values: Mapping[str, Any],
        uploads: Collection[str],
        resume: Path | None = None,
    ) -> None:
        """Make the run's folder with everything that starting it takes, on disk when this returns.

        Args:
            run: The run, not recorded yet.
            source: Where the model comes from.
            values: The arguments, secrets included.
            uploads: Names of those arguments that are uploaded files; the files are taken over into the folder, or
                copied if they belong to another run.
            resume: The folder of the model from which it goes on.

        Raises:
            OSError: There is no room, or no permission.
        """
        await asyncio.to_thread(self._prepare, run, source, values, uploads, resume)

    def _prepare(
        self, run: Run, source: Source, values: Mapping[str, Any], uploads: Collection[str], resume: Path | None
    ) -> None:
        folder = self.folder(run.id)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            for part in (folder, folder / "artifacts", folder / "model", folder / "inputs"):
                part.mkdir(mode=0o700)
            kept = {key: self._kept(value, folder / "inputs") for key, value in values.items() if key in uploads}
            job = {
                "run": run.id,
                "target": source.target,
                "values": {**values, **kept},
                "max_result_bytes": MAX_RESULT_BYTES,
                "resume": resume and str(resume.absolute()),
            }
            files = {
                "events.ndjson": "",
                "log.txt": "",
                "inputs.json": json.dumps(kept),
                "environment.json": json.dumps(source.environment and asdict(source.environment)),
                "job.json": json.dumps(job),
            }
            for name, content in files.items():
                _write(folder / name, content)
            for directory in (folder, self._root):
                _sync(directory)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _kept(self, value: Any, folder: Path) -> Any:
        """An uploaded file, or several, where they last as long as the run."""
        if isinstance(value, list):
            return [self._kept(item, folder) for item in value]
        if not isinstance(value, Mapping) or "filename" not in value:
            return value
        given = Path(value["filename"])
        kept = folder / f"{len(list(folder.iterdir()))}{given.suffix}"
        if given.resolve().is_relative_to(self._root.resolve()):
            shutil.copyfile(given, kept)
        else:
            shutil.move(given, kept)
        return {**value, "filename": str(kept.absolute())}

    async def inputs(self, run_id: str) -> Mapping[str, Any]:
        """The files that came with a run's request, as its arguments name them."""
        return await asyncio.to_thread(_read, self.folder(run_id) / "inputs.json") or {}

    async def discard(self, run_id: str) -> None:
        """Remove a run's folder with everything in it."""
        await asyncio.to_thread(shutil.rmtree, self.folder(run_id), True)

    def withdraw(self, run_id: str) -> None:
        """Make sure that a run that has not begun never will."""
        (self.folder(run_id) / "job.json").unlink(missing_ok=True)

    def waits(self, run_id: str) -> bool:
        """Whether the run could still begin: no process has taken up its job."""
        return (self.folder(run_id) / "job.json").exists()

    async def start(self, run_id: str) -> Process:
        """Start the run's process, in a session of its own.

        Raises:
            OSError: It cannot be started.
        """
        return await asyncio.to_thread(self._start, run_id)

    def _start(self, run_id: str) -> Process:
        folder = self.folder(run_id)
        recorded = _read(folder / "environment.json")
        environment = Environment(**recorded) if recorded else None
        interpreter = interpreter_of(environment)
        # No Popen: it would complain about, or end, a child that is meant to outlive it.
        pid = os.posix_spawn(
            interpreter,
            [interpreter, str(PROGRAM), "train", str(folder / "job.json")],
            self._variables(run_id, environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(folder / "log.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_ASKED_TO_STOP,
        )
        return Process(pid, _started(pid) or "")

    def _variables(self, run_id: str, environment: Environment | None) -> dict[str, str]:
        """The environment variables of a run."""
        return inherited(environment) | {
            TAG: run_id,
            "DEEPAAS_CORE_RUN_DIR": str(self.folder(run_id).absolute()),
            "DEEPAAS_CORE_MODEL_DIR": str(self.model_dir(run_id).absolute()),
        }

    # Watching.

    def alive(self, process: Process) -> bool:
        """Whether this very process lives."""
        return process.started != "" and _started(process.pid) == process.started

    async def find(self, run_id: str) -> Process | None:
        """The process that leads the run, if one lives, whoever started it."""
        return await asyncio.to_thread(self._find, run_id)

    def _find(self, run_id: str) -> Process | None:
        oldest = min(_tagged(run_id), key=lambda process: (process.create_time(), process.pid), default=None)
        started = oldest and _started(oldest.pid)
        return Process(oldest.pid, started) if oldest and started else None

    async def wait(self, process: Process) -> int | None:
        """Wait until the process has ended, and clean up after it.

        Returns:
            Its exit code, negative for a signal; None if it was not this server's child.
        """
        if hasattr(os, "pidfd_open"):
            await self._wait_for_exit(process)
        else:
            while self.alive(process):
                await asyncio.sleep(POLL_S)
        return _reap(process.pid)

    async def _wait_for_exit(self, process: Process) -> None:
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return
        loop, exited = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(pidfd, exited.set)
        try:
            if self.alive(process):
                await exited.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    async def ending(self, run_id: str, code: int | None) -> Ending:
        """How the run ended, by what it left in its folder and by its process's exit code.

        Args:
            run_id: A run that no process works on any more.
            code: What ``wait`` returned; None if that is unknown.
        """
        return await asyncio.to_thread(_ending, self.folder(run_id), code)

    def pulse(self, run_id: str) -> int | None:
        """Something that changes every other second as long as the run goes on, wherever its process is."""
        try:
            return (self.folder(run_id) / "heartbeat").stat().st_mtime_ns
        except OSError:
            return None

    def left_word(self, run_id: str) -> bool:
        """Whether the run has ended and says how."""
        return (self.folder(run_id) / "exit.json").exists()

    async def forget_log(self, run_id: str) -> None:
        """Remove what the run has printed."""
        await asyncio.to_thread((self.folder(run_id) / "log.txt").unlink, True)

    async def forget_artifacts(self, run_id: str) -> None:
        """Remove the files that the run keeps; its model stays."""
        await asyncio.to_thread(shutil.rmtree, self.folder(run_id) / "artifacts", True)

    # Ending.

    async def kill(self, run_id: str, process: Process | None) -> None:
        """End the run's processes, all of them: ask, wait for a moment, then kill.

        Args:
            run_id: The run.
            process: The process that leads it, if known.
        """
        with suppress(OSError):
            await asyncio.to_thread((self.folder(run_id) / "cancel").touch, 0o600)
        if process is not None and self.alive(process):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._grace_s):
                    while self.alive(process):
                        await asyncio.sleep(0.02)
        await asyncio.to_thread(self._sweep, run_id, process)

    async def sweep(self, run_id: str) -> None:
        """Kill whatever is left of the run's processes."""
        await asyncio.to_thread(self._sweep, run_id, None)

    def _sweep(self, run_id: str, leader: Process | None) -> None:
        give_up = time.monotonic() + 2
        while time.monotonic() < give_up:
            family = self._family(run_id, leader)
            if not family:
                return
            for process in family:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.02)

    def _family(self, run_id: str, leader: Process | None) -> set[psutil.Process]:
        """The run's living processes: by tag, and by descent from the leader, which adopts orphans.

        The leader comes last of all: once it is gone, descent tells nothing.
        """
        if leader is None or not self.alive(leader):
            return set(_tagged(run_id))
        try:
            first = psutil.Process(leader.pid)
            below = {*_tagged(run_id), *first.children(recursive=True)} - {first}
        except psutil.NoSuchProcess:
            return set(_tagged(run_id))
        return {process for process in below if _lives(process)} or {first}

    async def unbegun(self) -> Mapping[str, datetime]:
        """The runs that have a folder here and never began, and when their folder was made."""
        return await asyncio.to_thread(self._unbegun)

    def _unbegun(self) -> Mapping[str, datetime]:
        found = {}
        for folder in self._root.glob("*/"):
            with suppress(FileNotFoundError):
                if is_run_id(folder.name) and not (folder / "heartbeat").exists():
                    found[folder.name] = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        return found

    async def strays(self) -> Collection[str]:
        """The ids of all runs, of this server or another, that have living processes."""
        return await asyncio.to_thread(lambda: {_tag(process) for process in psutil.process_iter()} - {""})

    # Reading.

    async def read_log(self, run_id: str, offset: int | None, limit: int) -> tuple[bytes, int, int]:
        """A piece of what the run has printed.

        Args:
            run_id: The run.
            offset: Where to begin; None for the last ``limit`` bytes.
            limit: At most so many bytes.

        Returns:
            The bytes, where they begin, and how long the whole log is by now.
        """
        return await asyncio.to_thread(_read_piece, self.folder(run_id) / "log.txt", offset, limit)


def _read_piece(path: Path, offset: int | None, limit: int) -> tuple[bytes, int, int]:
    try:
        with open_plain(path) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - limit) if offset is None else min(offset, size)
            file.seek(start)
            return file.read(limit), start, size
    except FileNotFoundError:
        return b"", 0, 0


def _write(path: Path, content: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Processes.


def _started(pid: int) -> str | None:
    """When a process started, in terms that a changed clock does not change; None if it does not live."""
    if sys.platform != "linux":
        return _started_elsewhere(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else f"{_boot()}:{int(fields[19])}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return repr(process.create_time()) if _lives(process) else None
    except psutil.Error:
        return None


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _tag(process: psutil.Process) -> str:
    with suppress(psutil.Error, OSError):
        return str(process.environ().get(TAG, ""))
    return ""


def _tagged(run_id: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _tag(process) == run_id and _lives(process)]


def _reap(pid: int) -> int | None:
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if reaped else None


# How it ended.


def _ending(folder: Path, code: int | None) -> Ending:
    result, exit_ = _read(folder / "result.json"), _read(folder / "exit.json")
    if result is not None:
        return _told(result)
    if exit_ is not None:
        number = exit_.get("signal")
        if isinstance(number, int):
            return _signalled(number, exit_.get("out_of_memory") is True, _time(exit_))
        if exit_.get("code") == NOT_KEPT:
            return _failed("result", "What train returned could not be written: there was no room on the disk.", exit_)
        return _failed("exit", f"The process ended with exit code {exit_.get('code')} before train returned.", exit_)
    if code is None:
        return Ending(
            RunState.INTERRUPTED, error=RunError("lost", "The process was lost, and left no word of how it ended.")
        )
    if code < 0:
        return _signalled(-code, False, None)
    return _failed("exit", f"The process ended with exit code {code} before train could be called.", {})


def _told(result: Mapping[str, Any]) -> Ending:
    if result.get("ok") is True:
        return Ending(RunState.SUCCEEDED, result=result.get("result"), at=_time(result))
    error = result.get("error")
    if not isinstance(error, Mapping):
        return _failed("result", "What the process left as its result cannot be read.", result)
    told = RunError(*(_clean(error.get(name, "")) for name in ("kind", "message", "traceback")))
    return Ending(RunState.FAILED, error=told, at=_time(result))


def _signalled(number: int, out_of_memory: bool, at: datetime | None) -> Ending:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number in _ASKED_TO_STOP:
        message = f"The process was asked to stop by {name}, and not by this server."
        return Ending(RunState.INTERRUPTED, error=RunError("signal", message), at=at)
    reason = " because the machine ran out of memory" if out_of_memory else ""
    return Ending(RunState.FAILED, error=RunError("signal", f"The process was ended by {name}{reason}."), at=at)


def _failed(kind: str, message: str, source: Mapping[str, Any]) -> Ending:
    return Ending(RunState.FAILED, error=RunError(kind, message), at=_time(source))


def _read(path: Path) -> Mapping[str, Any] | None:
    """What a file of the run says; the model could have written it, so it is not believed to be sound."""
    try:
        with open_plain(path) as file:
            content = file.read(MAX_RESULT_BYTES + 2**20)
        document = orjson.loads(content)
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return document if isinstance(document, Mapping) else {}


def _clean(text: object) -> str:
    """Text that every database and every client can take."""
    return str(text).replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _time(document: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromtimestamp(document["at"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
