"""The ``process`` executor: a model's workers, the queue before them, and the care for them.

A call goes to the worker that holds the fewest. How many a worker may hold at once follows from how long its calls
take: where a call is quick, several are on the way so that the worker never waits for the loop; where it is slow,
one, so that nothing waits behind it while another worker is free. Where the model has ``predict_batch``, single calls
with equal arguments are merged; ``batching`` says when a batch starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Source
from deepaas_core.executors.base import Activity, Call, ExecutorState, OnChange
from deepaas_core.executors.batching import Linger
from deepaas_core.executors.deadlines import Deadlines
from deepaas_core.executors.process import Launch, Shipment, StartFailed, Ticket, Worker
from deepaas_core.executors.shelf import Loan, Shelf
from deepaas_core.executors.worker import slots

log = logging.getLogger(__name__)

#: Work, in seconds of the model's own time, that is kept on the way to a worker.
AHEAD_S = 0.002
MAX_AHEAD = 64
#: A worker that lived this long was sound: the next restart is immediate again.
SOUND_S = 10.0
#: Longest pause before the restart of a worker that died in a call.
CRASH_PAUSE_MAX_S = 5.0
#: How often the memory of the workers is looked at, when it has a limit.
MEMORY_LOOK_S = 1.0
#: The members of a description by which calls are checked and answers told.
_OFFER = ("capabilities", "arguments", "signature", "response")
#: How long a call that was taken back may still be in front of the worker before it is looked at again.
RECHECK_S = 0.5


#: Raises ``PluginError`` for a description that a model cannot be made from.
Check = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class Limits:
    """What a pool may hold and how patient it is."""

    workers: int = 1
    max_queue: int = 100
    restart_pause_max_s: float = 30.0
    max_batch_size: int = 64
    max_batch_delay_s: float | None = None
    max_calls: int | None = None
    max_memory_bytes: int | None = None


@dataclass(eq=False)
class _Slot:
    """A place for one worker, kept filled."""

    worker: Worker | None = None
    keeper: asyncio.Task[None] | None = None
    recycling: bool = False

    def filled(self) -> bool:
        return self.worker is not None


class Pool:
    """The workers of one model. Implements ``executors.base.Executor``.

    Args:
        launch: How a worker is started.
        limits: What the pool may hold.
        on_change: Told of every change.
        check: Looks at what a replacement offers, before that gets its first call.
    """

    def __init__(
        self, launch: Launch, limits: Limits, on_change: OnChange = lambda: None, check: Check = lambda _: None
    ):
        self.state = ExecutorState.STARTING
        self.reason = ""
        self.description: Mapping[str, Any] | None = None
        self.restarts = 0
        self._launch = launch
        self._limits = limits
        self._on_change = on_change
        self._check = check
        self._queue: deque[Ticket] = deque()
        self._ready: list[Worker] = []
        self._workers: set[Worker] = set()
        self._slots = [_Slot() for _ in range(limits.workers)]
        self._background: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._ahead = 1
        self._mean_s = AHEAD_S
        self._merges = False
        self._linger = Linger(limits.max_batch_size, limits.max_batch_delay_s)
        self._lingering: asyncio.TimerHandle | None = None
        self._replacing = asyncio.Lock()
        self._deadlines = Deadlines(self._expire)
        self.shelf = Shelf(slots.COUNT * limits.workers)

    @property
    def waiting(self) -> int:
        """How many calls wait for a worker."""
        return len(self._queue)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [worker.pid for worker in self._ready]

    def activity(self) -> Activity:
        return Activity(len(self._queue), len(self._ready), self.restarts, tuple(self.pids))

    def start(self) -> None:
        for slot in self._slots:
            slot.keeper = asyncio.create_task(self._keep(slot))
        if self._limits.max_memory_bytes is not None:
            self._watch_memory(self._limits.max_memory_bytes)

    def call(self, call: Call) -> Ticket:
        self._admit()
        loop = asyncio.get_running_loop()
        ticket = Ticket(call, self, loop)
        self._deadlines.watch(ticket, call.timeout_s)
        self._queue.append(ticket)
        self._dispatch()
        return ticket

    def lend(self) -> Loan | None:
        return self.shelf.lend()

    async def replace(self, model_dir: Path | None, source: Source | None = None) -> None:
        async with self._replacing:
            before = self._launch
            self._launch = replace(before, model_dir=model_dir)
            if source is not None:
                self._launch = replace(
                    self._launch, target=source.target, environment=source.environment, endpoint=source.endpoint
                )
            try:
                await self._replace_all()
            except StartFailed as error:
                if self._ready:
                    self._launch = before
                elif self.state is ExecutorState.FAILED:
                    self._change(self.state, str(error))
                raise errors.ModelNotReady(before.model, f"its replacement failed to start. {error}") from error
            except BaseException:
                self._launch = before
                raise

    async def _replace_all(self) -> None:
        """Replace the workers one by one; all at once if the new ones offer something else than the old ones."""
        warm: list[tuple[_Slot, Worker, Mapping[str, Any]]] = []
        try:
            for slot in self._slots:
                worker = self._hire()
                description = await self._checked(worker)
                warm.append((slot, worker, description))
                if self.description is None or _offers_the_same(description, self.description):
                    self._take_over(warm)
            self._take_over(warm)
        finally:
            for _, worker, _ in warm:
                worker.kill("its replacement was given up")

    async def _checked(self, worker: Worker) -> Mapping[str, Any]:
        description = await worker.start()
        try:
            self._check(description)
        except errors.PluginError as error:
            worker.kill("it cannot be offered")
            raise StartFailed(str(error)) from error
        return description

    async def close(self, drain_s: float) -> None:
        self._change(ExecutorState.STOPPED, "The server is stopping.")
        deadline = asyncio.get_running_loop().time() + drain_s
        while self._queue and self._ready and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait(tuple(self._queue), timeout=0.05)
        while self._queue:
            self._end(self._queue.popleft(), errors.ModelNotReady(self._launch.model, self.reason))
        for slot in self._slots:
            if slot.keeper is not None:
                slot.keeper.cancel()
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        leaving = [worker.retire(left_s) for worker in self._workers]
        keepers = [slot.keeper for slot in self._slots if slot.keeper]
        await asyncio.gather(*leaving, *keepers, *self._background, return_exceptions=True)
        self.shelf.close()

    # Calls.

    def _admit(self) -> None:
        if self.state in (ExecutorState.READY, ExecutorState.RESTARTING):
            if len(self._queue) >= self._limits.max_queue:
                raise errors.Overloaded(self._launch.model, self._limits.max_queue)
            return
        raise errors.ModelNotReady(self._launch.model, self.reason or "It is still starting.")

    def _dispatch(self) -> None:
        queue = self._queue
        while queue and self._ready:
            worker = min(self._ready, key=_load) if len(self._ready) > 1 else self._ready[0]
            if len(worker.pending) >= self._ahead:
                return
            if not self._merges or queue[0].call.hook is not Capability.PREDICT_DATA:
                worker.send(next(self._numbers), [queue.popleft()])
            elif worker.pending or not self._linger_on():
                worker.send(next(self._numbers), self._take_batch(), batch=True)
            else:
                return

    def _linger_on(self) -> bool:
        """Whether to wait for more calls before the next batch starts; sees to it that the question is asked again."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        loop = asyncio.get_running_loop()
        wait_s = self._linger.wait_s(len(self._queue), loop.time())
        if wait_s > 0:
            self._lingering = loop.call_later(wait_s, self._dispatch)
        return wait_s > 0

    def _take_batch(self) -> list[Ticket]:
        """The first call of the queue, and those behind it that can be merged with it."""
        first = self._queue.popleft()
        batch = [first]
        if first.alone or not self._queue:
            return batch
        others: deque[Ticket] = deque()
        for ticket in self._queue:
            if len(batch) < self._limits.max_batch_size and _mergeable(first, ticket):
                batch.append(ticket)
            else:
                others.append(ticket)
        self._queue = others
        return batch

    def settled(self, shipment: Shipment, duration_s: float) -> None:
        """A worker has answered: it has room for the next call."""
        for ticket in shipment.tickets:
            self._deadlines.forget(ticket)
        if self._limits.max_calls is not None and shipment.worker.calls >= self._limits.max_calls:
            self._recycle(shipment.worker, "it has answered its number of calls")
        if shipment.batch:
            self._linger.finished(len(shipment.tickets), len(self._queue), duration_s)
        self._mean_s += 0.1 * (duration_s - self._mean_s)
        self._ahead = max(1, min(MAX_AHEAD, int(AHEAD_S / (self._mean_s + 1e-6))))
        if self._queue:
            self._dispatch()

    def _expire(self, ticket: Ticket) -> None:
        """A call's time is up. Only the call that its worker is working on costs that worker its life."""
        shipment = ticket.shipment
        held = ticket.pieces is not None and ticket.pieces.held
        ticket.fail(errors.ModelTimeout(self._launch.model, ticket.call.timeout_s))
        if shipment is None:
            self._forget(ticket)
        elif held:  # it is the caller who is too slow, not the model
            self._take_back(ticket)
        elif shipment.worker.pending and shipment.worker.pending[0] is shipment:
            log.warning("call timed out", extra={"model": self._launch.model, "timeout_s": ticket.call.timeout_s})
            shipment.worker.kill("a call took too long")
        elif shipment in shipment.worker.pending:
            self._take_back(ticket)
            self._deadlines.watch(ticket, RECHECK_S)

    def progressed(self, ticket: Ticket) -> None:
        """A piece has come: for an answer in pieces, the time limit holds for each of them."""
        self._deadlines.forget(ticket)
        self._deadlines.watch(ticket, ticket.call.timeout_s)

    def left(self, ticket: Ticket) -> None:
        """Nobody takes the rest of an answer: the worker is told to stop."""
        ticket.pieces = None
        self._take_back(ticket)

    @staticmethod
    def _take_back(ticket: Ticket) -> None:
        shipment = ticket.shipment
        if shipment is not None and len(shipment.tickets) == 1 and shipment in shipment.worker.pending:
            shipment.worker.take_back(shipment)

    def given_up(self, ticket: Ticket) -> None:
        """The caller has gone. What has begun goes on under its deadline; what has not is not begun."""
        if ticket.shipment is None:
            self._forget(ticket)
        else:
            self._take_back(ticket)

    def _forget(self, ticket: Ticket) -> None:
        self._deadlines.forget(ticket)
        if ticket in self._queue:
            self._queue.remove(ticket)

    def _end(self, ticket: Ticket, error: errors.DeepaasError) -> None:
        self._deadlines.forget(ticket)
        ticket.fail(error)

    # Workers.

    async def _keep(self, slot: _Slot) -> None:
        """Keep one slot filled: start its worker, wait for its end, start the next after a growing pause."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while True:
            try:
                await self._fill(slot)
            except StartFailed as error:
                pause_s = self._grown(pause_s, self._limits.restart_pause_max_s)
                self._failed(str(error), pause_s)
                await asyncio.sleep(pause_s)
                continue
            since = loop.time()
            while (worker := slot.worker) is not None:
                await asyncio.shield(worker.gone)
                if slot.worker is worker:
                    slot.worker = None
            self.restarts += 1
            pause_s = 0.0 if loop.time() - since > SOUND_S else self._grown(pause_s, CRASH_PAUSE_MAX_S)
            if pause_s > 0.1:
                await asyncio.sleep(pause_s)

    def _hire(self) -> Worker:
        worker = Worker(self._launch, self)
        self._workers.add(worker)
        worker.gone.add_done_callback(lambda _: self._workers.discard(worker))
        return worker

    async def _fill(self, slot: _Slot) -> None:
        """Bring up a worker for the slot, unless a replacement has done so already."""
        if slot.filled():
            return
        worker = self._hire()
        description = await worker.start()
        if slot.filled():
            worker.kill("a replacement was quicker")
        else:
            slot.worker = worker
            self._admitted(worker, description)

    def _take_over(self, warm: list[tuple[_Slot, Worker, Mapping[str, Any]]]) -> None:
        """Let warm workers take the places of the old ones, within one pass of the loop."""
        olds = [slot.worker for slot, _, _ in warm]
        for slot, worker, _ in warm:
            slot.worker = worker
        for old in olds:
            if old in self._ready:
                self._ready.remove(old)
                self._do_later(old.retire(within_s=3600.0))  # its calls end by their own deadlines
        for _, worker, description in warm:
            self._admitted(worker, description)
        warm.clear()

    def _recycle(self, worker: Worker, reason: str) -> None:
        """Let a new worker take the place of this one, as in ``replace``: warm first, no call lost."""
        slot = next((slot for slot in self._slots if slot.worker is worker), None)
        if slot is None or slot.recycling or self.state is not ExecutorState.READY:
            return
        slot.recycling = True
        log.info("worker recycled", extra={"model": self._launch.model, "pid": worker.pid, "reason": reason})
        self._do_later(self._recycle_in(slot))

    async def _recycle_in(self, slot: _Slot) -> None:
        try:
            worker = self._hire()
            self._take_over([(slot, worker, await worker.start())])
        except StartFailed as error:  # the old one serves on, and is looked at again after its next call
            log.error("worker did not start", extra={"model": self._launch.model, "reason": str(error)})
        finally:
            slot.recycling = False

    def _watch_memory(self, limit_bytes: int) -> None:
        for worker in tuple(self._ready):
            if worker.memory_bytes() > limit_bytes:
                self._recycle(worker, "it uses more memory than allowed")
        if self.state is not ExecutorState.STOPPED:
            asyncio.get_running_loop().call_later(MEMORY_LOOK_S, self._watch_memory, limit_bytes)

    def _do_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _admitted(self, worker: Worker, description: Mapping[str, Any]) -> None:
        self._ready.append(worker)
        self.description = description
        self._merges = Capability.PREDICT_BATCH in description.get("capabilities", ())
        if self.state is not ExecutorState.STOPPED:
            self._change(ExecutorState.READY, "")
        log.info("worker ready", extra={"model": self._launch.model, "pid": worker.pid})
        self._dispatch()

    def lost(self, worker: Worker, reason: str) -> None:
        """A worker has ended. The call it was working on fails with it; those behind it go elsewhere.

        Of a batch nobody knows which row was to blame: its calls are tried again, each by itself.
        """
        was_ready = worker in self._ready
        if was_ready:
            self._ready.remove(worker)
        pending, worker.pending = worker.pending, deque()
        for shipment in pending:
            shipment.over()
        begun = pending.popleft() if pending else None
        for shipment in reversed(pending):
            for ticket in reversed(shipment.tickets):
                self._requeue(ticket, alone=False)
        for ticket in reversed(begun.tickets if begun else ()):
            if begun is not None and len(begun.tickets) > 1:
                self._requeue(ticket, alone=True)
            else:
                self._end(ticket, errors.ModelCrashed(self._launch.model, reason))
        if was_ready and self.state is ExecutorState.READY:
            log.warning("worker lost", extra={"model": self._launch.model, "pid": worker.pid, "reason": reason})
            if not self._ready:
                self._change(ExecutorState.RESTARTING, f"Its worker ended ({reason}) and is being restarted.")
        self._dispatch()

    def _requeue(self, ticket: Ticket, alone: bool) -> None:
        ticket.shipment = None
        ticket.alone = ticket.alone or alone
        if ticket.open:
            self._queue.appendleft(ticket)
        else:
            self._deadlines.forget(ticket)

    def _failed(self, reason: str, pause_s: float) -> None:
        log.error("worker did not start", extra={"model": self._launch.model, "reason": reason, "retry_s": pause_s})
        if self._ready or self.state is ExecutorState.STOPPED:
            return
        self._change(ExecutorState.FAILED, reason)
        while self._queue:
            self._end(self._queue.popleft(), errors.ModelNotReady(self._launch.model, reason))

    @staticmethod
    def _grown(pause_s: float, most_s: float) -> float:
        return min(most_s, max(0.1, pause_s * 2))

    def _change(self, state: ExecutorState, reason: str) -> None:
        self.state, self.reason = state, reason
        self._on_change()


def _offers_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a call that was checked against one description fits the other, and is answered by the same version."""
    versions = {str((told.get("metadata") or {}).get("version")) for told in (one, other)}
    return len(versions) == 1 and all(one.get(key) == other.get(key) for key in _OFFER)


def _load(worker: Worker) -> int:
    return len(worker.pending)


def _mergeable(first: Ticket, other: Ticket) -> bool:
    """Whether two calls differ in their rows alone."""
    one, two = first.call, other.call
    return (
        not other.alone
        and one.hook is two.hook
        and one.values == two.values
        and one.accept == two.accept
        and one.payload.get("form") == two.payload.get("form")
        and one.payload.get("charset") == two.payload.get("charset")
    )
