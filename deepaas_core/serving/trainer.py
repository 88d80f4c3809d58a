"""Training: asking for runs, watching them to their end, and finding them again after a restart.

The record says what is true, and moves only by compare-and-set; the processes follow. A run is recorded before it is
acknowledged, taken from the queue in the record before it is started, and cancelled in the record before it is killed,
so at whatever moment the server dies, the next one knows from record, process and folder together what to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from deepaas_core.domain.arguments import Argument, Arguments, Kind
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.domain.training import Ending, Process, Run, RunError, RunState, is_run_id
from deepaas_core.errors import CapabilityMissing, RunAlreadyOver, RunNotFound, StoreUnavailable
from deepaas_core.stores.base import RunStore

log = logging.getLogger(__name__)

T = TypeVar("T")
OnSucceeded = Callable[[Run, Path | None], Awaitable[None]]
REDACTED = "***"
#: The queue is looked at this often even when nothing here happens: the store may have been away, or others use it.
LOOK_AGAIN_S = 2.0
MAX_PAUSE_S = 5.0


class Processes(Protocol):
    """What runs are executed by."""

    def model_dir(self, run_id: str) -> Path: ...
    async def prepare(self, run: Run, source: Source, values: Mapping[str, Any], uploads: Collection[str]) -> None: ...
    async def discard(self, run_id: str) -> None: ...
    def withdraw(self, run_id: str) -> None: ...
    def waits(self, run_id: str) -> bool: ...
    async def start(self, run_id: str) -> Process: ...
    def alive(self, process: Process) -> bool: ...
    async def find(self, run_id: str) -> Process | None: ...
    async def wait(self, process: Process) -> int | None: ...
    async def ending(self, run_id: str, code: int | None) -> Ending: ...
    async def kill(self, run_id: str, process: Process | None) -> None: ...
    async def sweep(self, run_id: str) -> None: ...
    async def strays(self) -> Collection[str]: ...
    async def read_log(self, run_id: str, offset: int | None, limit: int) -> tuple[bytes, int, int]: ...


@dataclass(frozen=True)
class LogPiece:
    """A piece of what a run has printed.

    Attributes:
        content: The bytes.
        offset: Where they begin in the log.
        size: How long the log is by now.
    """

    content: bytes
    offset: int
    size: int


class Trainer:
    """Starts, cancels and finds training runs.

    Args:
        store: Keeps the records.
        processes: Executes the runs.
        max_concurrent_runs: More than so many wait in the queue.
        clock: Tells the time, in aware UTC.

    Attributes:
        on_succeeded: Called with each run that succeeds, and with the folder of the model that is to be served from
            now on: the run's own, or an earlier one's if it left no files; None if there is none at all.
    """

    def __init__(
        self,
        store: RunStore,
        processes: Processes,
        max_concurrent_runs: int = 2,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.on_succeeded: OnSucceeded | None = None
        self._store = store
        self._processes = processes
        self._max_concurrent_runs = max_concurrent_runs
        self._clock = clock
        self._carried: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._scheduler: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._moved = asyncio.Event()

    # What others ask for.

    async def start(self, model: Model, values: Mapping[str, Any]) -> Run:
        """Ask for a run; it is recorded when this returns, and begins when its turn comes.

        Args:
            model: What to train.
            values: Checked arguments, JSON-native.

        Raises:
            CapabilityMissing: The model has no ``train``.
            StoreUnavailable: The run cannot be recorded right now.
        """
        if Capability.TRAIN not in model.capabilities:
            raise CapabilityMissing(model.name, Capability.TRAIN.function)
        return await self._to_the_end(self._start(model, values))

    async def get(self, run_id: str) -> Run:
        """The run as it is now.

        Raises:
            RunNotFound: There is none of this id.
        """
        if not is_run_id(run_id):
            raise RunNotFound(run_id)
        return await self._store.get(run_id)

    async def list(
        self,
        *,
        model: str | None = None,
        state: RunState | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> Sequence[Run]:
        """Runs, newest first, without tracebacks and long results; see ``RunStore.list``."""
        if before is not None and not is_run_id(before):
            return ()
        states = () if state is None else (state,)
        return await self._store.list(model=model, states=states, limit=limit, before=before)

    async def count(self) -> Mapping[RunState, int]:
        """How many runs are in each state."""
        return await self._store.count()

    async def cancel(self, run_id: str) -> Run:
        """End a run; its processes are gone when this returns. Cancelling it again changes nothing.

        Raises:
            RunNotFound: There is none of this id.
            RunAlreadyOver: It ended by itself before.
        """
        return await self._to_the_end(self._cancel(run_id))

    async def settled(self, run_id: str) -> Run:
        """The run, once it is over."""
        while not (run := await self.get(run_id)).state.over:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._moved.wait()
        return run

    async def read_log(self, run_id: str, offset: int | None = None, limit: int = 2**20) -> LogPiece:
        """A piece of what the run has printed, by default the end of it.

        Raises:
            RunNotFound: There is none of this id.
        """
        run = await self.get(run_id)
        return LogPiece(*await self._processes.read_log(run.id, offset, limit))

    async def current_model_dir(self, model: str) -> Path | None:
        """The model folder of the last run that succeeded and left one; None if there is none."""
        before = None
        while runs := await self._store.list(model=model, states={RunState.SUCCEEDED}, limit=50, before=before):
            for run in sorted(runs, key=lambda run: run.finished_at or run.created_at, reverse=True):
                folder = await asyncio.to_thread(self._model_of, run)
                if folder is not None:
                    return folder
            before = runs[-1].id
        return None

    # Coming and going.

    async def recover(self) -> None:
        """Settle what ended while no server was there to see it. Call it before reading which models are served.

        Raises:
            StoreUnavailable: The records cannot be read.
        """
        for run in await self._store.list(states={RunState.RUNNING}):
            if run.id in self._carried or await self._leader(run) is not None:
                continue
            if run.process is None and self._processes.waits(run.id):
                await self._move(run.id, Run.requeue)
            else:
                await self._settle(run.id, None)

    async def resume(self) -> None:
        """Take up the runs that still go on, and begin to work off the queue.

        Raises:
            StoreUnavailable: The records cannot be read.
        """
        await self.recover()
        for run in await self._store.list(states={RunState.RUNNING}):
            if run.id not in self._carried:
                self._carry(run.id, self._adopt(run))
        self._keep(asyncio.create_task(self._end_strays()))
        self._scheduler = asyncio.create_task(self._schedule())

    async def close(self) -> None:
        """Stop watching. Runs go on; the next server takes them up."""
        tasks = [*self._carried.values()] + ([self._scheduler] if self._scheduler else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._background, return_exceptions=True)

    # How a run is carried from the queue to its end.

    async def _start(self, model: Model, values: Mapping[str, Any]) -> Run:
        arguments = model.arguments.get(Capability.TRAIN, Arguments())
        run = Run.queued(model.name, model.version, _shown(values, arguments), self._clock())
        uploads = [key for key in values if key in arguments and _is_file(arguments[key])]
        try:
            await self._processes.prepare(run, model.source, values, uploads)
        except OSError as error:
            raise StoreUnavailable(f"The folder of a training run cannot be made: {error.strerror}") from error
        try:
            await self._store.add(run)
        except BaseException:
            await self._processes.discard(run.id)
            raise
        self._announce(run)
        return run

    async def _schedule(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._begin_next()
            except StoreUnavailable as error:
                log.warning("training queue cannot be read", extra={"reason": str(error)})
            except Exception:
                log.exception("training queue failed")

    async def _begin_next(self) -> None:
        free = self._max_concurrent_runs - len(self._carried)
        for run in await self._store.queue(free) if free > 0 else ():
            if not self._processes.waits(run.id):
                await self._end(run.id, RunError("launch", "What is to be done has been lost from the run's folder."))
                continue
            started = run.start(self._clock())
            if await self._store.replace(run, started):
                self._carry(run.id, self._launch(started))
                self._announce(started)

    def _carry(self, run_id: str, process: Coroutine[Any, Any, Process | None]) -> None:
        self._carried[run_id] = asyncio.create_task(self._watch(run_id, process))

    async def _watch(self, run_id: str, found: Coroutine[Any, Any, Process | None]) -> None:
        try:
            process = await found
            code = None if process is None else await self._processes.wait(process)
            await self._settle(run_id, code)
        except Exception:
            log.exception("training run lost sight of", extra={"run": run_id})
        finally:
            found.close()
            del self._carried[run_id]
            self._look.set()

    async def _launch(self, run: Run) -> Process | None:
        try:
            process = await self._processes.start(run.id)
        except OSError as error:
            await self._end(run.id, RunError("launch", f"Its process cannot be started: {error}"))
            return None
        return await self._attach(run, process)

    async def _adopt(self, run: Run) -> Process | None:
        process = await self._leader(run)
        if process is None or run.process is not None:
            return process
        return await self._attach(run, process)

    async def _attach(self, run: Run, process: Process) -> Process:
        try:
            await self._surely(lambda: self._move(run.id, lambda now: now.attach(process)))
        except RunAlreadyOver:  # cancelled before it had a process to kill
            await self._processes.kill(run.id, process)
        return process

    async def _leader(self, run: Run) -> Process | None:
        if run.process is None:
            return await self._processes.find(run.id)
        return run.process if self._processes.alive(run.process) else None

    async def _settle(self, run_id: str, code: int | None) -> None:
        """Record how a run ended, however long it takes until the store can be written."""
        await self._processes.sweep(run_id)
        ending = await self._processes.ending(run_id, code)
        with suppress(RunAlreadyOver):
            await self._surely(lambda: self._move(run_id, lambda now: now.end(self._clock(), ending)))
        run = await self._surely(lambda: self._store.get(run_id))
        if run.state is RunState.SUCCEEDED and self.on_succeeded is not None:
            folder = await self._surely(lambda: self.current_model_dir(run.model))
            try:
                await self.on_succeeded(run, folder)
            except Exception:
                log.exception("trained model cannot be served", extra={"run": run.id, "model": run.model})

    async def _end(self, run_id: str, error: RunError) -> None:
        with suppress(RunAlreadyOver):
            await self._surely(lambda: self._move(run_id, lambda now: now.fail(self._clock(), error)))

    async def _cancel(self, run_id: str) -> Run:
        before = await self.get(run_id)
        try:
            run = await self._move(before.id, lambda now: now.cancel(self._clock()))
        except RunAlreadyOver as error:
            if error.state == RunState.CANCELLED:
                return await self._store.get(before.id)
            raise
        self._processes.withdraw(run.id)
        if run.started_at is not None:
            await self._processes.kill(run.id, run.process)
        if run.id in self._carried:
            await asyncio.wait({self._carried[run.id]}, timeout=MAX_PAUSE_S)
        return run

    async def _end_strays(self) -> None:
        """Kill what is left of runs that are over: a server may have died between recording that and doing it."""
        for run_id in await self._processes.strays():
            with suppress(RunNotFound):
                if (await self._surely(lambda run_id=run_id: self.get(run_id))).state.over:  # type: ignore[misc]
                    await self._processes.sweep(run_id)

    # How the record is moved.

    async def _move(self, run_id: str, step: Callable[[Run], Run]) -> Run:
        """Take a step from wherever the run is by now.

        Raises:
            RunAlreadyOver, Conflict: The step is not possible from there.
        """
        while True:
            now = await self._store.get(run_id)
            new = step(now)
            if await self._store.replace(now, new):
                self._announce(new)
                return new

    async def _surely(self, action: Callable[[], Awaitable[T]]) -> T:
        """Try until the store can be used."""
        pause_s = 0.1
        while True:
            try:
                return await action()
            except StoreUnavailable as error:
                log.warning("training records cannot be used, trying again", extra={"reason": str(error)})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _announce(self, run: Run) -> None:
        log.info("training run", extra={"run": run.id, "model": run.model, "state": str(run.state)})
        self._look.set()
        self._moved.set()
        self._moved.clear()

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Finish what has begun even if nobody waits for it any more."""
        return await asyncio.shield(self._keep(asyncio.create_task(work)))

    def _keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _model_of(self, run: Run) -> Path | None:
        folder = self._processes.model_dir(run.id)
        return folder if folder.is_dir() and any(folder.iterdir()) else None


def _is_file(argument: Argument) -> bool:
    return Kind.FILE in (argument.kind, argument.items and argument.items.kind)


def _shown(values: Mapping[str, Any], arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """Arguments as they may be kept and shown: no secrets, and uploads by the name the client gave them."""
    known = {argument.name: argument for argument in arguments.values()} | dict(arguments)
    return {key: _shown_value(value, known[key]) if key in known else value for key, value in values.items()}


def _shown_value(value: Any, argument: Argument) -> Any:
    if argument.secret:
        return value if value is None else REDACTED
    if isinstance(value, list):
        return [_shown_value(item, argument.items) if argument.items else item for item in value]
    if isinstance(value, Mapping) and argument.kind is Kind.FILE:
        return value.get("original_filename", value.get("filename"))
    if isinstance(value, Mapping):
        return _shown(value, {member.key: member for member in argument.properties})
    return value
