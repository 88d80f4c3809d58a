"""Trying a model out before anybody relies on it: how long its start and one call take, and what memory it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepaas_core import errors
from deepaas_core.executors.base import Call, Result
from deepaas_core.executors.process import Launch, Nobody, Ticket, Worker


@dataclass(frozen=True)
class Trial:
    """What a trial showed.

    Attributes:
        start_s: Seconds from the start of the process until the model is loaded and warm.
        memory_bytes: What the process holds after the call.
        description: What the worker says of the model, as ``plugins.inspection`` takes it.
        call_s: Seconds that the call took; None if there was none.
        result: Its answer.
        error: Why it has none.
    """

    start_s: float
    memory_bytes: int
    description: Mapping[str, Any]
    call_s: float | None = None
    result: Result | None = None
    error: errors.DeepaasError | None = None


async def try_out(launch: Launch, call: Call | None = None) -> Trial:
    """Start one worker, make one call, and end it.

    Raises:
        StartFailed: It does not come up.
    """
    owner = _Trier()
    began = time.perf_counter()
    worker = Worker(launch, owner)
    try:
        description = await worker.start()
        start_s = time.perf_counter() - began
        if call is None:
            return Trial(start_s, worker.memory_bytes(), description)
        began = time.perf_counter()
        result, error = await owner.ask(worker, call)
        call_s = time.perf_counter() - began
        return Trial(start_s, worker.memory_bytes(), description, call_s, result, error)
    finally:
        if not worker.gone.done():
            await worker.retire(within_s=2.0)


class _Trier(Nobody):
    """Makes one call, and waits for what becomes of it."""

    async def ask(self, worker: Worker, call: Call) -> tuple[Result | None, errors.DeepaasError | None]:
        ticket = Ticket(call, self, asyncio.get_running_loop())
        worker.send(1, [ticket])
        try:
            async with asyncio.timeout(call.timeout_s):
                return await ticket, None
        except TimeoutError:
            worker.kill("a call took too long")
            return None, errors.ModelTimeout(worker.launch.model, call.timeout_s)
        except errors.DeepaasError as error:
            return None, error

    def lost(self, worker: Worker, reason: str) -> None:
        for shipment in worker.pending:
            for ticket in shipment.tickets:
                ticket.fail(errors.ModelCrashed(worker.launch.model, reason))
