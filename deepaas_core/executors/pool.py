"""The ``process`` executor: a model's workers, the queue before them, and the care for them.

A call goes to the worker that holds the fewest. How many a worker may hold at once follows from how long its calls
take: where a call is quick, several are on the way so that the worker never waits for the loop; where it is slow,
one, so that nothing waits behind it while another worker is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from deepaas_core import errors
from deepaas_core.executors.base import Call, ExecutorState, OnChange, Result
from deepaas_core.executors.process import Launch, StartFailed, Ticket, Worker

log = logging.getLogger(__name__)

#: Work, in seconds of the model's own time, that is kept on the way to a worker.
AHEAD_S = 0.002
MAX_AHEAD = 64
#: A worker that lived this long was sound: the next restart is immediate again.
SOUND_S = 10.0
#: Longest pause before the restart of a worker that died in a call.
CRASH_PAUSE_MAX_S = 5.0
#: How long a call that was taken back may still be in front of the worker before it is looked at again.
RECHECK_S = 0.5


@dataclass(frozen=True)
class Limits:
    """What a pool may hold and how patient it is."""

    workers: int = 1
    max_queue: int = 100
    restart_pause_max_s: float = 30.0


@dataclass(eq=False)
class _Slot:
    """A place for one worker, kept filled."""

    worker: Worker | None = None
    keeper: asyncio.Task[None] | None = None


class Pool:
    """The workers of one model. Implements ``executors.base.Executor``."""

    def __init__(self, launch: Launch, limits: Limits, on_change: OnChange = lambda: None):
        self.state = ExecutorState.STARTING
        self.reason = ""
        self.description: Mapping[str, Any] | None = None
        self.restarts = 0
        self._launch = launch
        self._limits = limits
        self._on_change = on_change
        self._queue: deque[Ticket] = deque()
        self._ready: list[Worker] = []
        self._slots = [_Slot() for _ in range(limits.workers)]
        self._retiring: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._ahead = 1
        self._mean_s = AHEAD_S
        self._replacing = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """How many calls wait for a worker."""
        return len(self._queue)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [worker.pid for worker in self._ready]

    def start(self) -> None:
        for slot in self._slots:
            slot.keeper = asyncio.create_task(self._keep(slot))

    async def call(self, call: Call) -> Result:
        self._admit()
        loop = asyncio.get_running_loop()
        ticket = Ticket(next(self._numbers), call, loop.create_future())
        ticket.timer = loop.call_later(call.timeout_s, self._expire, ticket)
        self._queue.append(ticket)
        self._dispatch()
        try:
            return await ticket.future
        except asyncio.CancelledError:
            self._drop(ticket)
            raise

    async def replace(self, model_dir: Path | None) -> None:
        async with self._replacing:
            before, self._launch = self._launch, replace(self._launch, model_dir=model_dir)
            for slot in self._slots:
                try:
                    await self._replace_in(slot)
                except StartFailed as error:
                    self._launch = before
                    raise errors.ModelNotReady(before.model, f"its replacement failed to start. {error}") from error

    async def close(self, drain_s: float) -> None:
        self._change(ExecutorState.STOPPED, "The server is stopping.")
        deadline = asyncio.get_running_loop().time() + drain_s
        while self._queue and self._ready and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait([ticket.future for ticket in self._queue], timeout=0.05)
        while self._queue:
            self._settle_with(self._queue.popleft(), errors.ModelNotReady(self._launch.model, self.reason))
        for slot in self._slots:
            if slot.keeper is not None:
                slot.keeper.cancel()
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        leaving = [slot.worker.retire(left_s) for slot in self._slots if slot.worker and not slot.worker.gone.done()]
        keepers = [slot.keeper for slot in self._slots if slot.keeper]
        await asyncio.gather(*leaving, *keepers, *self._retiring, return_exceptions=True)

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
            worker = min(self._ready, key=_load)
            if len(worker.pending) >= self._ahead:
                return
            worker.send(queue.popleft())

    def _settled(self, _: Worker, ticket: Ticket, duration_s: float) -> None:
        """A worker has answered: it has room for the next call."""
        if ticket.timer is not None:
            ticket.timer.cancel()
        self._mean_s += 0.1 * (duration_s - self._mean_s)
        self._ahead = max(1, min(MAX_AHEAD, int(AHEAD_S / (self._mean_s + 1e-6))))
        if self._queue:
            self._dispatch()

    def _expire(self, ticket: Ticket) -> None:
        """A call's time is up. Only the call that its worker is working on costs that worker its life."""
        worker = ticket.worker
        self._settle_with(ticket, errors.ModelTimeout(self._launch.model, ticket.call.timeout_s))
        if worker is None:
            self._forget(ticket)
        elif worker.pending and worker.pending[0] is ticket:
            log.warning("call timed out", extra={"model": self._launch.model, "timeout_s": ticket.call.timeout_s})
            worker.kill("a call took too long")
        elif ticket in worker.pending:
            worker.take_back(ticket)
            ticket.timer = asyncio.get_running_loop().call_later(RECHECK_S, self._expire, ticket)

    def _drop(self, ticket: Ticket) -> None:
        """The caller has gone. What has begun goes on under its deadline; what has not is not begun."""
        if ticket.worker is None:
            self._forget(ticket)
        elif ticket in ticket.worker.pending:
            ticket.worker.take_back(ticket)

    def _forget(self, ticket: Ticket) -> None:
        if ticket.timer is not None:
            ticket.timer.cancel()
        if ticket in self._queue:
            self._queue.remove(ticket)

    @staticmethod
    def _settle_with(ticket: Ticket, error: errors.DeepaasError) -> None:
        if not ticket.future.done():
            ticket.future.set_exception(error)

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

    async def _fill(self, slot: _Slot) -> None:
        """Bring up a worker for the slot, unless a replacement has done so already."""
        if slot.worker is None:
            worker = Worker(self._launch, self._settled, self._lost)
            description = await worker.start()
            slot.worker = worker
            self._admitted(worker, description)

    async def _replace_in(self, slot: _Slot) -> None:
        worker = Worker(self._launch, self._settled, self._lost)
        description = await worker.start()
        old, slot.worker = slot.worker, worker
        self._admitted(worker, description)
        if old is not None and not old.gone.done():
            self._ready.remove(old)
            task = asyncio.create_task(old.retire(within_s=3600.0))  # its calls end by their own deadlines
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _admitted(self, worker: Worker, description: Mapping[str, Any]) -> None:
        self._ready.append(worker)
        self.description = description
        if self.state is not ExecutorState.STOPPED:
            self._change(ExecutorState.READY, "")
        log.info("worker ready", extra={"model": self._launch.model, "pid": worker.pid})
        self._dispatch()

    def _lost(self, worker: Worker, reason: str) -> None:
        """A worker has ended. The call it was working on fails with it; those behind it go elsewhere."""
        was_ready = worker in self._ready
        if was_ready:
            self._ready.remove(worker)
        pending, worker.pending = worker.pending, deque()
        if pending:
            ticket = pending.popleft()
            if ticket.timer is not None:
                ticket.timer.cancel()
            self._settle_with(ticket, errors.ModelCrashed(self._launch.model, reason))
        for ticket in reversed(pending):
            ticket.worker = None
            if not ticket.future.done():
                self._queue.appendleft(ticket)
            elif ticket.timer is not None:
                ticket.timer.cancel()
        if was_ready and self.state is ExecutorState.READY:
            log.warning("worker lost", extra={"model": self._launch.model, "pid": worker.pid, "reason": reason})
            if not self._ready:
                self._change(ExecutorState.RESTARTING, f"Its worker ended ({reason}) and is being restarted.")
        self._dispatch()

    def _failed(self, reason: str, pause_s: float) -> None:
        log.error("worker did not start", extra={"model": self._launch.model, "reason": reason, "retry_s": pause_s})
        if self._ready or self.state is ExecutorState.STOPPED:
            return
        self._change(ExecutorState.FAILED, reason)
        while self._queue:
            ticket = self._queue.popleft()
            self._forget(ticket)
            self._settle_with(ticket, errors.ModelNotReady(self._launch.model, reason))

    @staticmethod
    def _grown(pause_s: float, most_s: float) -> float:
        return min(most_s, max(0.1, pause_s * 2))

    def _change(self, state: ExecutorState, reason: str) -> None:
        self.state, self.reason = state, reason
        self._on_change()


def _load(worker: Worker) -> int:
    return len(worker.pending)
