"""The records of runs as the use cases read and move them: only by compare-and-set, and in the end surely."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from deepaas_core.domain.training import Place, Run, RunState, is_run_id
from deepaas_core.errors import RunElsewhere, RunNotFound, StoreUnavailable
from deepaas_core.stores.base import RunStore

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_PAUSE_S = 5.0


class Ledger:
    """What one server sees and writes of the records.

    Args:
        store: Keeps them.
        place: This server and the folder of its runs; nameless if the store is its own.
        clock: Tells the time, in aware UTC.
        moved: Called after each step of a run that was made here.
    """

    def __init__(self, store: RunStore, place: Place, clock: Callable[[], datetime], moved: Callable[[Run], None]):
        self.store = store
        self.place = place
        self.clock = clock
        self.moved = moved

    @property
    def shared(self) -> bool:
        """Whether other servers use the store as well."""
        return self.place.server != ""

    async def get(self, run_id: str) -> Run:
        """The run as it is now.

        Raises:
            RunNotFound: There is none of this id.
        """
        if not is_run_id(run_id):
            raise RunNotFound(run_id)
        return await self.store.get(run_id)

    async def at_hand(self, run_id: str) -> Run:
        """A run whose folder this server can read.

        Raises:
            RunNotFound: There is none of this id.
            RunElsewhere: Its folder is another server's.
        """
        run = await self.get(run_id)
        if not self.has_at_hand(run):
            peer = (await self.store.peers()).get(run.place.server)
            raise RunElsewhere(run.id, peer.address if peer else "")
        return run

    def has_at_hand(self, run: Run) -> bool:
        """Whether this server can read the run's folder."""
        return run.place.home == self.place.home

    async def mine(self) -> Sequence[Run]:
        """The runs that this server executes, as the record has it."""
        running = await self.store.list(states={RunState.RUNNING})
        return [run for run in running if run.place.server == self.place.server]

    async def move(self, run_id: str, step: Callable[[Run], Run]) -> Run:
        """Take a step from wherever the run is by now.

        Raises:
            RunAlreadyOver, Conflict: The step is not possible from there.
        """
        while True:
            now = await self.store.get(run_id)
            new = step(now)
            if await self.store.replace(now, new):
                self.moved(new)
                return new

    async def surely(self, action: Callable[[], Awaitable[T]]) -> T:
        """Try until the store can be used."""
        pause_s = 0.1
        while True:
            try:
                return await action()
            except StoreUnavailable as error:
                log.warning("training records cannot be used, trying again", extra={"reason": str(error)})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
