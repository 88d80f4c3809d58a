"""The ``inline`` executor: hooks run on threads of the server itself.

For development, for tests, and for trusted models that want the last microsecond. What isolation gives is gone: a model
that crashes takes the server along, and a call past its time is answered but cannot be stopped.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.model import Source
from deepaas_core.executors.base import Activity, Call, ExecutorState, OnChange, Result, failure, result_of
from deepaas_core.executors.pool import Limits
from deepaas_core.executors.process import Launch
from deepaas_core.executors.streaming import Pieces
from deepaas_core.executors.worker import serve
from deepaas_core.executors.worker.calling import Answer, Caller
from deepaas_core.executors.worker.loading import is_script
from deepaas_core.executors.worker.raised import Refusal


@dataclass(slots=True, eq=False)
class _Job:
    """A call, and what has become of it.

    Attributes:
        timer: Runs until the call's time is up.
        outcome: What the model's function gave or raised; None if it was not begun.
    """

    call: Call
    future: asyncio.Future[Result]
    timer: asyncio.TimerHandle | None = None
    outcome: Answer | BaseException | None = None


class Inline:
    """Runs one model's hooks on threads. Implements ``executors.base.Executor``."""

    def __init__(self, launch: Launch, limits: Limits, on_change: OnChange = lambda: None):
        self.state = ExecutorState.STARTING
        self.reason = ""
        self.description: Mapping[str, Any] | None = None
        self._launch = launch
        self._limits = limits
        self._on_change = on_change
        # One half works on calls, the other loads the model and lets generators go on.
        self._threads = ThreadPoolExecutor(2 * limits.workers, thread_name_prefix=f"model-{launch.model}")
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._worked: deque[_Job] = deque()
        self._waking = False
        self._running = 0
        self._caller: Caller | None = None
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._limits.workers):
            self._threads.submit(self._work, loop)
        self._starting = asyncio.create_task(self._start())

    def activity(self) -> Activity:
        workers = self._limits.workers
        return Activity(max(0, self._running - workers), workers if self.state is ExecutorState.READY else 0)

    def call(self, call: Call) -> asyncio.Future[Result]:
        if self.state is not ExecutorState.READY:
            raise errors.ModelNotReady(self._launch.model, self.reason or "It is still starting.")
        if self._running >= self._limits.workers + self._limits.max_queue:
            raise errors.Overloaded(self._launch.model, self._limits.max_queue)
        loop = asyncio.get_running_loop()
        job = _Job(call, loop.create_future())
        job.timer = loop.call_later(call.timeout_s, self._expire, job)
        self._running += 1
        self._jobs.put(job)
        return job.future

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer one call after the other, on a thread."""
        while (job := self._jobs.get()) is not None:
            if not job.future.done():  # else nobody waits for it any more
                try:
                    assert self._caller is not None
                    job.outcome = self._caller.call(job.call.header(), job.call.body)
                except BaseException as error:
                    job.outcome = error
            self._worked.append(job)
            if not self._waking:  # one wake-up of the loop does for all that are done by then
                self._waking = True
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._waking = False
        while self._worked:
            job = self._worked.popleft()
            self._running -= 1
            if job.timer is not None:
                job.timer.cancel()
            if job.future.done() or job.outcome is None:
                continue
            if isinstance(job.outcome, Refusal):
                job.future.set_exception(failure(self._launch.model, job.call.hook, job.outcome.error))
            elif isinstance(job.outcome, BaseException):
                job.future.set_exception(job.outcome)
            elif job.outcome.pieces is not None:
                job.future.set_result(Result(b"", pieces=self._stream(job.call, job.outcome.pieces)))
            else:
                self._settle(job, job.outcome)

    def _settle(self, job: _Job, answer: Answer) -> None:
        try:
            result = result_of(self._launch.model, job.call.hook, answer.head(), answer.body, 0.0)
        except errors.DeepaasError as error:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    def _expire(self, job: _Job) -> None:
        if not job.future.done():
            job.future.set_exception(errors.ModelTimeout(self._launch.model, job.call.timeout_s))

    def lend(self) -> None:
        return None

    def _stream(self, call: Call, produced: Iterator[bytes]) -> Pieces:
        """Let a thread produce the pieces, no faster than they are taken."""
        loop = asyncio.get_running_loop()
        may_go, left = threading.Event(), threading.Event()
        may_go.set()
        pieces = Pieces(lambda held: may_go.clear() if held else may_go.set(), left.set)

        def pump() -> None:
            error = None
            try:
                for piece in produced:
                    if left.is_set():
                        break
                    loop.call_soon_threadsafe(pieces.push, piece)
                    may_go.wait(call.timeout_s)
            except Refusal as refusal:
                error = failure(self._launch.model, call.hook, refusal.error)
            loop.call_soon_threadsafe(pieces.finish, error)

        self._running += 1
        loop.run_in_executor(self._threads, pump).add_done_callback(self._done)
        return pieces

    async def replace(self, model_dir: Path | None, source: Source | None = None) -> None:
        if source is not None:
            reason = "it runs inside the server (workers.executor), where code is loaded once; start the server again"
            raise errors.ModelNotReady(self._launch.model, reason)
        if model_dir is not None:
            os.environ["DEEPAAS_CORE_MODEL_DIR"] = str(model_dir)  # one process, so the last model replaced wins
        await self._start()
        if self.state is not ExecutorState.READY:
            raise errors.ModelNotReady(self._launch.model, self.reason)

    async def close(self, drain_s: float) -> None:
        self._change(ExecutorState.STOPPED, "The server is stopping.")
        if self._starting is not None:
            self._starting.cancel()
        deadline = asyncio.get_running_loop().time() + drain_s
        while self._running and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for _ in range(self._limits.workers):
            self._jobs.put(None)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._caller is not None and not self._running:
            self._caller.close()

    async def _start(self) -> None:
        config = {
            "target": self._launch.target,
            "max_result_bytes": self._launch.max_result_bytes,
            "warm": self._launch.warm,
            "guard": self._launch.guard,
        }
        if is_script(self._launch.target):  # it changes the folder, and what ``__main__`` is
            self._change(ExecutorState.FAILED, "A script needs a process of its own (workers.executor).")
            return
        loop = asyncio.get_running_loop()
        try:
            self._caller, self.description = await loop.run_in_executor(self._threads, serve.prepare, config)
        except Exception as error:
            self._change(ExecutorState.FAILED, f"{type(error).__name__}: {error}")
        else:
            self._change(ExecutorState.READY, "")

    def _done(self, work: asyncio.Future[Any]) -> None:
        self._running -= 1
        if not work.cancelled():
            work.exception()  # already told to the caller, or nobody waits for it any more

    def _change(self, state: ExecutorState, reason: str) -> None:
        self.state, self.reason = state, reason
        self._on_change()
