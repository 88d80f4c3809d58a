"""Deleting what runs left: because somebody asks for it, because it is old, or because it never came to anything."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from deepaas_core.domain.retention import Retention
from deepaas_core.domain.training import Run, RunState
from deepaas_core.errors import Conflict, RunNotFound, StoreUnavailable
from deepaas_core.serving.execution import Processes
from deepaas_core.serving.ledger import Ledger

log = logging.getLogger(__name__)

TIDY_EVERY_S = 600.0
#: A run that others may be about to record is left alone for so long.
FORSAKEN = timedelta(minutes=10)
#: So many records are looked at in one go.
PAGE = 500


class Housekeeping:
    """Deletes runs and what they left.

    Args:
        ledger: The records.
        processes: Has the runs' folders.
        retention: How long what is left of runs is kept.
        is_served: Whether a run's model is served, or is to be.
    """

    def __init__(
        self,
        ledger: Ledger,
        processes: Processes,
        retention: Retention,
        is_served: Callable[[Run], Awaitable[bool]],
    ):
        self._ledger = ledger
        self._processes = processes
        self._retention = retention
        self._is_served = is_served
        self._since = ledger.clock()

    async def purge(self, run: Run) -> None:
        """Delete a run that is over, and whose folder is at hand.

        Raises:
            Conflict: It is not over, its model is served, or another run goes on from it.
            StoreUnavailable: It is not deleted, or not wholly; a later try may succeed.
        """
        if not run.state.over:
            raise Conflict(f"Training run {run.id} is {run.state}; cancel it first.")
        if await self._is_served(run):
            raise Conflict(f"The model of training run {run.id} is served; choose another one first.")
        alive = {RunState.QUEUED, RunState.RUNNING}
        for other in await self._ledger.store.list(model=run.model, states=alive):
            if other.retry_of == run.id:
                raise Conflict(f"Training run {other.id} goes on from run {run.id}.")
        await self._processes.sweep(run.id)
        await self._processes.discard(run.id)
        await self._ledger.store.remove(run.id)
        log.info("training run deleted", extra={"run": run.id, "model": run.model})

    async def keep(self) -> None:
        """Tidy up, from now on."""
        while True:
            try:
                await self.tidy()
            except StoreUnavailable as error:
                log.warning("runs cannot be tidied up", extra={"reason": str(error)})
            except Exception:
                log.exception("runs cannot be tidied up")
            await asyncio.sleep(TIDY_EVERY_S)

    async def tidy(self) -> None:
        """Delete what need not be kept any longer: what was made ready in vain, and what retention lets go.

        Raises:
            StoreUnavailable: The records cannot be used; what is left is for the next time.
        """
        await self._drop_unrecorded()
        if not self._retention.ever:
            return
        now, ranks, before = self._ledger.clock(), Counter[str](), None
        over = {state for state in RunState if state.over}
        while runs := await self._ledger.store.list(states=over, limit=PAGE, before=before):
            for run in runs:
                if self._ledger.has_at_hand(run):
                    await self._let_go(run, ranks[run.model], now)
                    ranks[run.model] += 1
            before = runs[-1].id

    async def _let_go(self, run: Run, rank: int, now: datetime) -> None:
        ended = run.finished_at or run.created_at
        with suppress(Conflict, RunNotFound):
            if self._retention.runs.is_over(ended, rank, now):
                return await self.purge(run)
        if self._retention.logs.is_over(ended, rank, now):
            await self._processes.forget_log(run.id)
        if self._retention.artifacts.is_over(ended, rank, now):
            await self._processes.forget_artifacts(run.id)

    async def _drop_unrecorded(self) -> None:
        """Remove folders of runs that were never recorded, or that another server has taken; here they never begin."""
        made_at = await self._processes.unbegun()
        recorded_by_now = self._ledger.clock() - FORSAKEN if self._ledger.shared else self._since
        ids = list(made_at)
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            known = {run.id: run for run in await self._ledger.store.list(ids=page)}
            for run_id in page:
                run = known.get(run_id)
                if made_at[run_id] < recorded_by_now if run is None else not self._ledger.has_at_hand(run):
                    await self._processes.discard(run_id)
                elif run is not None and run.state.over:
                    self._processes.withdraw(run_id)
