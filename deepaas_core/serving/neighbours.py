"""The other servers on the same store: those that are lost, and what becomes of their runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime

from deepaas_core.domain.silence import Silence
from deepaas_core.domain.training import Run, RunState
from deepaas_core.errors import StoreUnavailable
from deepaas_core.serving.execution import Processes
from deepaas_core.serving.ledger import Ledger
from deepaas_core.stores.base import Peer

log = logging.getLogger(__name__)

#: Servers give a sign of life this often, whatever their lease; the others look as often.
SIGN_EVERY_S = 1.0


class Neighbours:
    """Watches over the runs of other servers.

    Args:
        ledger: The records.
        processes: Executes the runs of this server; where folders are shared, it sees signs of life of the others'.
        lease_s: Seconds without a sign of life after which a server's machine is taken for lost.
    """

    def __init__(self, ledger: Ledger, processes: Processes, lease_s: float):
        self._ledger = ledger
        self._processes = processes
        self._lease_s = lease_s

    async def mind(self) -> None:
        """End in the record, from now on, what went on on machines that are lost."""
        silence = Silence.watched(self._lease_s, SIGN_EVERY_S)
        while True:
            try:
                await self._look(silence)
            except StoreUnavailable as error:
                log.warning("other servers cannot be seen", extra={"reason": str(error)})
            except Exception:
                log.exception("other servers cannot be seen")
            await asyncio.sleep(SIGN_EVERY_S)

    async def _look(self, silence: Silence) -> None:
        running = await self._ledger.store.list(states={RunState.RUNNING})
        theirs = {run.id: run for run in running if run.place.server != self._ledger.place.server}
        peers = await self._ledger.store.peers() if theirs else {}
        signs = {run.id: self._sign_of(run, peers) for run in theirs.values()}
        for run_id in silence.look(asyncio.get_running_loop().time(), signs):
            await self._give_up(theirs[run_id], signs[run_id][0])

    def _sign_of(self, run: Run, peers: Mapping[str, Peer]) -> tuple[datetime | None, int | None]:
        """What changes as long as the run can be alive."""
        peer = peers.get(run.place.server)
        pulse = self._processes.pulse(run.id) if self._ledger.has_at_hand(run) else None
        return None if peer is None else peer.seen_at, pulse

    async def _give_up(self, run: Run, seen_at: datetime | None) -> None:
        now = self._ledger.clock()
        if self._ledger.has_at_hand(run) and self._processes.left_word(run.id):
            said = await self._processes.reports.said(run.id)
            over = run.end(now, await self._processes.ending(run.id, None)).note(said)
        else:
            reason = f"Its machine is lost: its server has given no sign of life for {self._lease_s:g} s."
            over = run.interrupt(now, reason)
        if await self._ledger.store.replace(run, over, unseen_since=seen_at):
            log.warning("server lost", extra={"server": run.place.server, "seen_at": seen_at, "run": run.id})
            self._ledger.moved(over)
