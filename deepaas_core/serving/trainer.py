"""Training: asking for runs, watching them to their end, and finding them again after a restart.

The record says what is true, and moves only by compare-and-set; the processes follow. A run is recorded before it is
acknowledged, taken from the queue in the record before it is started, and cancelled in the record before it is killed,
so at whatever moment the server dies, the next one knows from record, process and folder together what to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from deepaas_core.domain import kept_arguments
from deepaas_core.domain.access import ALL_NAMES, Names
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.reports import Condition, Said
from deepaas_core.domain.retention import Retention
from deepaas_core.domain.training import Choice, Place, Process, Run, RunError, RunState, is_run_id
from deepaas_core.errors import CapabilityMissing, Conflict, RunAlreadyOver, RunNotFound, StoreUnavailable
from deepaas_core.serving.execution import Processes, Reports
from deepaas_core.serving.housekeeping import Housekeeping
from deepaas_core.serving.ledger import MAX_PAUSE_S, Ledger
from deepaas_core.serving.neighbours import Neighbours
from deepaas_core.stores.base import Peer, RunStore

log = logging.getLogger(__name__)

T = TypeVar("T")
OnServe = Callable[[str, "Served"], Awaitable[None]]
#: The queue is looked at this often even when nothing here happens: the store may have been away, or others use it.
LOOK_AGAIN_S = 2.0


@dataclass(frozen=True)
class Served:
    """The trained model that is to be served.

    Attributes:
        run: The run it comes from; None for the model as it was installed.
        folder: Where it lies.
    """

    run: str | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Limits:
    """How many runs go on at the same time; more wait in the queue.

    Attributes:
        overall: On this server.
        per_model: Of one model; None leaves it to ``overall``.
    """

    overall: int = 2
    per_model: int | None = None

    def of_one_model(self) -> int:
        return self.overall if self.per_model is None else min(self.overall, self.per_model)


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
        max_concurrent_runs_per_model: Of one model, no more than so many; None sets no limit of its own.
        place: This server and the folder of its runs, if others use the store as well.
        lease_s: Seconds without a sign of life after which the machine of another server is taken for lost.
        retention: How long what is left of runs is kept.

    Attributes:
        offered: The models that can be trained here, by name.
        in_use: The folder of the trained model that is served here, by the model's name.
        on_serve: Called with a model's name and what is to be served from now on, whenever a run has succeeded or
            somebody has chosen.
        on_moved: Called after each step of a run that was made here.
    """

    def __init__(
        self,
        store: RunStore,
        processes: Processes,
        max_concurrent_runs: int = 2,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_concurrent_runs_per_model: int | None = None,
        place: Place = Place(),  # noqa: B008 — a value
        lease_s: float = 20.0,
        retention: Retention = Retention(),  # noqa: B008 — a value
    ):
        self.offered: Callable[[], Mapping[str, Model]] = dict
        self.in_use: Callable[[str], Path | None] = lambda _: None
        self.on_serve: OnServe | None = None
        self.on_moved: Callable[[Run], None] | None = None
        self.reports: Reports = processes.reports
        self._ledger = Ledger(store, place, clock, self._announce)
        self._store = store
        self._processes = processes
        self._limits = Limits(max_concurrent_runs, max_concurrent_runs_per_model)
        self._clock = clock
        self._place = place
        self._neighbours = Neighbours(self._ledger, processes, lease_s)
        self._housekeeping = Housekeeping(self._ledger, processes, retention, self._is_served)
        self._carried: dict[str, asyncio.Task[None]] = {}
        self._models: dict[str, str] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._switching: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._duties: list[asyncio.Task[None]] = []
        self._look = asyncio.Event()
        self._moved = asyncio.Event()

    # What others ask for.

    async def start(self, model: Model, values: Mapping[str, Any], promote_if: Condition | None = None) -> Run:
        """Ask for a run; it is recorded when this returns, and begins when its turn comes.

        Args:
            model: What to train.
            values: Checked arguments, JSON-native.
            promote_if: What the run must reach for its model to be served.

        Raises:
            CapabilityMissing: The model has no ``train``.
            StoreUnavailable: The run cannot be recorded right now.
        """
        if Capability.TRAIN not in model.capabilities:
            raise CapabilityMissing(model.name, Capability.TRAIN.function)
        return await self._to_the_end(self._start(model, values, promote_if=promote_if))

    async def retry(
        self,
        run_id: str,
        model: Model,
        changes: Mapping[str, Any],
        resume: bool = False,
        promote_if: Condition | None = None,
    ) -> Run:
        """Ask for a run like an earlier one.

        Args:
            run_id: The earlier run, in whatever state.
            model: What it trained.
            changes: Arguments that are to be different, by key.
            resume: Whether it may go on from the model files that the earlier run left.
            promote_if: What it must reach for its model to be served; None keeps the earlier run's condition.

        Raises:
            RunNotFound, CapabilityMissing, StoreUnavailable: See ``start``.
            RunElsewhere: It takes files of the earlier run that are another server's.
            InvalidInput: The arguments do not fit; those marked secret are not kept and must be given again.
            Conflict: The earlier run still goes on, and is to be resumed.
        """
        old = await self.get(run_id)
        if Capability.TRAIN not in model.capabilities:
            raise CapabilityMissing(model.name, Capability.TRAIN.function)
        if resume and not old.state.over:
            raise Conflict(f"Training run {old.id} still goes on; cancel it before another one goes on from its model.")
        arguments = model.arguments_of(Capability.TRAIN)
        taken_over = set(arguments) & set(old.arguments) - set(changes)
        if resume or any(kept_arguments.is_file(arguments[key]) for key in taken_over):
            await self.at_hand(old.id)
        plain, files = kept_arguments.again(old, arguments, changes, await self._processes.inputs(old.id))
        values = {**arguments.load(plain), **files}
        folder = await asyncio.to_thread(self._model_of, old) if resume else None
        condition = promote_if or old.promote_if
        return await self._to_the_end(self._start(model, values, folder, retry_of=old.id, promote_if=condition))

    async def get(self, run_id: str) -> Run:
        """The run as it is now.

        Raises:
            RunNotFound: There is none of this id.
        """
        return await self._ledger.get(run_id)

    async def list(
        self,
        *,
        model: str | None = None,
        state: RunState | None = None,
        limit: int | None = None,
        before: str | None = None,
        ids: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        models: Names = ALL_NAMES,
    ) -> Sequence[Run]:
        """Runs, newest first, without tracebacks and long results; see ``RunStore.list``."""
        if before is not None and not is_run_id(before):
            return ()
        states = () if state is None else (state,)
        return await self._store.list(
            model=model, states=states, limit=limit, before=before, ids=ids, since=since, until=until, models=models
        )

    async def positions(self) -> Mapping[str, int]:
        """Which place each queued run has, 1 for the one that has waited longest."""
        return await self._store.positions()

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
        run = await self.at_hand(run_id)
        return LogPiece(*await self._processes.read_log(run.id, offset, limit))

    async def at_hand(self, run_id: str) -> Run:
        """A run whose folder this server can read.

        Raises:
            RunNotFound: There is none of this id.
            RunElsewhere: Its folder is another server's.
        """
        return await self._ledger.at_hand(run_id)

    def has_at_hand(self, run: Run) -> bool:
        """Whether this server can read the run's folder."""
        return self._ledger.has_at_hand(run)

    async def greet(self, address: str) -> None:
        """Tell the other servers on the same records that this one lives, and where people reach it.

        Raises:
            StoreUnavailable: They cannot be reached.
        """
        await self._store.greet(self._ledger.place.server, address)

    async def peers(self) -> Mapping[str, Peer]:
        """The servers that ever were on the same records, by id.

        Raises:
            StoreUnavailable: They cannot be reached.
        """
        return await self._store.peers()

    # Which trained model is served.

    async def current(self, model: str) -> Served:
        """What is to be served: the last run that succeeded well enough and left a model, or what was chosen since."""
        choice = await self._store.chosen(model)
        better = await self._last_success(model, None if choice is None else choice.at)
        if better is not None or choice is None:
            return better or Served()
        if choice.run is None:
            return Served()
        with suppress(RunNotFound):
            run = await self._store.get(choice.run)
            folder = await asyncio.to_thread(self._model_of, run)
            if folder is not None:
                return Served(run.id, folder)
            if not self.has_at_hand(run):  # chosen for another server
                return await self._last_success(model, None) or Served()
        log.warning("chosen model is gone", extra={"model": model, "run": choice.run})
        return await self._last_success(model, None) or Served()

    async def choose(self, model: str, run_id: str | None) -> Served:
        """Serve the model of an earlier run; the next run that succeeds well enough takes its place again.

        Args:
            model: The model.
            run_id: The run; None for the model as it was installed.

        Raises:
            RunNotFound, RunElsewhere: See ``at_hand``.
            Conflict: It is another model's, did not succeed, or left no model.
            ModelNotReady: The model does not start from there; what was served before goes on.
        """
        return await self._to_the_end(self._choose(model, run_id))

    async def _choose(self, model: str, run_id: str | None) -> Served:
        served = Served() if run_id is None else await self._servable(model, run_id)
        before = await self.current(model)
        async with self._switching[model]:
            if self.on_serve is not None:
                await self.on_serve(model, served)
            try:
                await self._store.choose(model, Choice(run_id, self._clock()))
            except StoreUnavailable:
                if self.on_serve is not None:
                    await self.on_serve(model, before)
                raise
        log.info("model chosen", extra={"model": model, "run": run_id})
        return served

    async def _servable(self, model: str, run_id: str) -> Served:
        run = await self.at_hand(run_id)
        if run.model != model:
            raise Conflict(f"Training run {run.id} trained the model {run.model!r}.")
        if run.state is not RunState.SUCCEEDED:
            raise Conflict(f"Training run {run.id} is {run.state}; only what succeeded can be served.")
        folder = await asyncio.to_thread(self._model_of, run)
        if folder is None:
            raise Conflict(f"Training run {run.id} left no model files.")
        return Served(run.id, folder)

    async def _last_success(self, model: str, after: datetime | None) -> Served | None:
        before = None
        while runs := await self._store.list(model=model, states={RunState.SUCCEEDED}, limit=50, before=before):
            for run in sorted(runs, key=lambda run: run.finished_at or run.created_at, reverse=True):
                if after is not None and (run.finished_at or run.created_at) <= after:
                    continue
                folder = await asyncio.to_thread(self._model_of, run)
                if folder is not None and await self._good_enough(run):
                    return Served(run.id, folder)
            before = runs[-1].id
        return None

    async def _good_enough(self, listed: Run) -> bool:
        if listed.promotable or listed.promote_if is None or listed.result is not None:
            return listed.promotable
        return (await self._store.get(listed.id)).promotable  # lists leave out long results

    # Housekeeping.

    async def purge(self, run_id: str) -> None:
        """Delete a run that is over: its record, its log, its artifacts and its model.

        Raises:
            RunNotFound, RunElsewhere: See ``at_hand``.
            Conflict: It is not over, its model is served, or another run goes on from it.
            StoreUnavailable: It is not deleted, or not wholly; a later try may succeed.
        """
        await self._to_the_end(self._housekeeping.purge(await self.at_hand(run_id)))

    async def model_folder(self, run_id: str) -> Path | None:
        """Where the trained model of a run is; None if it left none.

        Raises:
            RunNotFound: There is none.
            RunElsewhere: It is on another server.
        """
        return self._model_of(await self.at_hand(run_id))

    async def tidy(self) -> None:
        """Delete what need not be kept any longer; the server does so by itself now and then."""
        await self._housekeeping.tidy()

    async def _is_served(self, run: Run) -> bool:
        """Whether its model is served, or is to be."""
        folder = self._processes.model_dir(run.id)
        return self.in_use(run.model) == folder or (await self.current(run.model)).run == run.id

    # Coming and going.

    async def recover(self) -> None:
        """Settle what ended while no server was there to see it. Call it before reading which models are served.

        Raises:
            StoreUnavailable: The records cannot be read.
        """
        for run in await self._ledger.mine():
            if run.id in self._carried:
                continue
            never_began = self._never_began(run)
            if await self._leader(run) is not None:
                continue
            if never_began:
                await self._ledger.move(run.id, Run.requeue)
            else:
                await self._settle(run.id, None)

    async def resume(self) -> None:
        """Take up the runs that still go on, and begin to work off the queue.

        Raises:
            StoreUnavailable: The records cannot be read.
        """
        await self.recover()
        await self._take_up([run for run in await self._ledger.mine() if run.id not in self._carried])
        self._keep(asyncio.create_task(self.end_strays()))
        duties = [self._schedule, self._housekeeping.keep]
        if self._ledger.shared:
            duties += [self._neighbours.mind, self._follow_choices]
        self._duties = [asyncio.create_task(duty()) for duty in duties]

    async def tend(self) -> bool:
        """Do what must be done for the runs of a server that is away: settle what ended, end what was cancelled.

        Returns:
            Whether there is more to come.

        Raises:
            StoreUnavailable: The records cannot be read.
        """
        await self.recover()
        await self.end_strays()
        return bool(await self._ledger.mine())

    async def close(self) -> None:
        """Stop watching. Runs go on; the next server takes them up."""
        tasks = [*self._carried.values(), *self._duties]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._background, return_exceptions=True)

    # How a run is carried from the queue to its end.

    def _never_began(self, run: Run) -> bool:
        return run.process is None and self._processes.waits(run.id)

    async def _start(self, model: Model, values: Mapping[str, Any], resume: Path | None = None, **more: Any) -> Run:
        arguments = model.arguments_of(Capability.TRAIN)
        shown = kept_arguments.shown(values, arguments)
        place = replace(self._place, anywhere=self._ledger.shared and resume is None and shown == values)
        run = Run.queued(model.name, model.version, shown, self._clock(), place=place, **more)
        uploads = [key for key in values if key in arguments and kept_arguments.is_file(arguments[key])]
        try:
            await self._processes.prepare(run, model.source, values, uploads, resume)
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
                await self._catch_up()
            except StoreUnavailable as error:
                log.warning("training queue cannot be read", extra={"reason": str(error)})
            except Exception:
                log.exception("training queue failed")

    async def _begin_next(self) -> None:
        """Start what there is room for: each time one of the model that has the fewest, and there the oldest."""
        free = self._limits.overall - len(self._carried)
        versions = {name: model.version for name, model in self.offered().items()} if self._ledger.shared else {}
        waiting = list(await self._store.queue(free, self._place.home, versions)) if free > 0 else []
        while waiting and len(self._carried) < self._limits.overall:
            going = Counter(self._models[run_id] for run_id in self._carried)
            run = min(waiting, key=lambda run: going[run.model])
            if going[run.model] >= self._limits.of_one_model():
                return
            waiting.remove(run)
            await self._begin(run)

    async def _begin(self, run: Run) -> None:
        elsewhere = run.place.home != self._place.home
        if elsewhere and not await self._make_ready(run):
            return
        if not self._processes.waits(run.id):
            lost = RunError("launch", "What is to be done has been lost from the run's folder.")
            failed = run.fail(self._clock(), lost)
            if await self._store.replace(run, failed):  # else another server was faster
                self._announce(failed)
            return
        started = run.start(self._clock(), self._place)
        if await self._store.replace(run, started):
            self._carry(started, self._launch)
            self._announce(started)
        elif elsewhere:
            await self._processes.discard(run.id)

    async def _make_ready(self, run: Run) -> bool:
        """Make a folder here for a run that another server has taken in."""
        model = self.offered().get(run.model)
        if model is None:
            return False
        try:
            await self._processes.prepare(run, model.source, run.arguments, ())
        except FileExistsError:  # left from when it could not be recorded that it is ours
            return self._processes.waits(run.id)
        except OSError as error:
            log.warning("folder of a training run cannot be made", extra={"run": run.id, "reason": error.strerror})
            return False
        return True

    async def _catch_up(self) -> None:
        """See what others did to the runs that go on here, and tell them what those say."""
        watched = set(self._carried)
        mine = {run.id: run for run in await self._ledger.mine()}
        await self._take_up([run for run in mine.values() if run.id not in watched])
        for run_id in watched & set(self._carried):
            run = mine.get(run_id)
            if run is None:
                await self._end_if_over(run_id)
            elif self._ledger.shared and (said := await self._told(run_id)) != run.said:
                await self._store.replace(run, run.note(said))

    async def _take_up(self, runs: Collection[Run]) -> None:
        """Watch the runs that go on here and that nobody watches."""
        for run in runs:
            if await self._leader(run) is None and self._never_began(run):
                await self._ledger.move(run.id, Run.requeue)
            else:
                self._carry(run, self._adopt)

    async def _end_if_over(self, run_id: str) -> None:
        """Kill a run that was cancelled, or taken for lost, by somebody who could not do it himself."""
        with suppress(RunNotFound):
            run = await self._store.get(run_id)
            gone = run.state.over or run.place.server != self._place.server
            if gone and (process := await self._leader(run)) is not None:
                self._keep(asyncio.create_task(self._processes.kill(run_id, process)))

    def _carry(self, run: Run, find: Callable[[Run], Awaitable[Process | None]]) -> None:
        self._models[run.id] = run.model
        self._carried[run.id] = asyncio.create_task(self._watch(run, find))

    async def _watch(self, run: Run, find: Callable[[Run], Awaitable[Process | None]]) -> None:
        try:
            process = await find(run)
            code = None if process is None else await self._processes.wait(process)
            await self._settle(run.id, code)
        except Exception:
            log.exception("training run lost sight of", extra={"run": run.id})
        finally:
            del self._carried[run.id], self._models[run.id]
            self._look.set()

    async def _launch(self, run: Run) -> Process | None:
        try:
            process = await self._processes.start(run.id)
        except OSError as error:
            await self._end(run.id, RunError("launch", f"Its process cannot be started: {error.strerror}"))
            return None
        return await self._attach(run, process)

    async def _adopt(self, run: Run) -> Process | None:
        process = await self._leader(run)
        if process is None or run.process is not None:
            return process
        return await self._attach(run, process)

    async def _attach(self, run: Run, process: Process) -> Process:
        try:
            await self._surely_move(run.id, lambda now: now.attach(process))
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
        said = await self._told(run_id)
        with suppress(RunAlreadyOver):
            await self._surely_move(run_id, lambda now: now.end(self._clock(), ending).note(said))
        run = await self._ledger.surely(lambda: self._store.get(run_id))
        if run.said != said:  # cancelled: what it told in its last moments
            await self._ledger.surely(lambda: self._store.replace(run, run.note(said)))
        if run.state is RunState.SUCCEEDED and self.on_serve is not None:
            async with self._switching[run.model]:
                served = await self._ledger.surely(lambda: self.current(run.model))
                try:
                    await self.on_serve(run.model, served)
                except Exception:
                    log.exception("trained model cannot be served", extra={"run": run.id, "model": run.model})

    async def _surely_move(self, run_id: str, step: Callable[[Run], Run]) -> Run:
        return await self._ledger.surely(lambda: self._ledger.move(run_id, step))

    async def _told(self, run_id: str) -> Said:
        try:
            return await self.reports.said(run_id)
        except OSError as error:
            log.warning("what a run told cannot be read", extra={"run": run_id, "reason": str(error)})
            return Said()

    async def _end(self, run_id: str, error: RunError) -> None:
        with suppress(RunAlreadyOver):
            await self._surely_move(run_id, lambda now: now.fail(self._clock(), error))

    async def _cancel(self, run_id: str) -> Run:
        before = await self.get(run_id)
        try:
            run = await self._ledger.move(before.id, lambda now: now.cancel(self._clock()))
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

    async def end_strays(self) -> None:
        """Kill what is left of runs that are over: a server may have died between recording that and doing it."""
        for run_id in await self._processes.strays():
            with suppress(RunNotFound):
                if (await self._ledger.surely(lambda run_id=run_id: self.get(run_id))).state.over:  # type: ignore[misc]
                    await self._processes.sweep(run_id)

    async def _follow_choices(self) -> None:
        """Serve what runs and choices on other servers have made the model of choice, if it can be read here."""
        refused: dict[str, Served] = {}
        while True:
            await asyncio.sleep(MAX_PAUSE_S)
            for model in self.offered():
                try:
                    async with self._switching[model]:
                        served = await self.current(model)
                        if served.folder != self.in_use(model) and served != refused.get(model) and self.on_serve:
                            refused[model] = served
                            await self.on_serve(model, served)
                            del refused[model]
                except StoreUnavailable as error:
                    log.warning("choices of models cannot be read", extra={"reason": str(error)})
                except Exception:
                    log.exception("chosen model cannot be served", extra={"model": model})

    # What others are told.

    def _announce(self, run: Run) -> None:
        log.info("training run", extra={"run": run.id, "model": run.model, "state": str(run.state)})
        self.nudge()
        if self.on_moved is not None:
            self.on_moved(run)

    def nudge(self) -> None:
        """Look at once at what has changed, here or in another process of the server."""
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
        if not self.has_at_hand(run):
            return None
        folder = self._processes.model_dir(run.id)
        return folder if folder.is_dir() and any(folder.iterdir()) else None
