"""Watching a run: what it has told and printed so far, and what comes next, until it is over.

Nothing is remembered for a watcher. He says up to where he has seen, and so may leave and come back at any time, also
when another server is there by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from deepaas_core.domain.reports import Event, Said
from deepaas_core.domain.training import Run, RunState
from deepaas_core.errors import NotFound, StoreUnavailable
from deepaas_core.serving.execution import KeptFile
from deepaas_core.serving.trainer import LogPiece, Trainer

T = TypeVar("T")
LOOK_EVERY_S = 0.3
#: More events than these are not handed over in one go, so that nobody holds up the others.
TOGETHER = 250


class Observer:
    """Sees what runs do.

    Args:
        trainer: Knows the runs.
    """

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._leaving = asyncio.Event()
        self._lately = _Lately(LOOK_EVERY_S)

    def leave(self) -> None:
        """End everything that follows a run; those who watch may come back to the next server."""
        self._leaving.set()

    async def said(self, run: Run) -> Said:
        """What a run has told so far; of one that is over, or far away, what its record says."""
        if run.state is not RunState.RUNNING or not self._trainer.has_at_hand(run):
            return run.said
        return await self._trainer.reports.said(run.id)

    async def watch(self, run_id: str, seen: int = 0) -> AsyncIterator[Run | Sequence[Event]]:
        """The run as it is, then events, new states, places in the queue as they come; the last is the run when over.

        Events that are there come together, at most some hundreds.

        Args:
            run_id: The run.
            seen: The id of the last event that is known already.

        Raises:
            RunNotFound, RunElsewhere: See ``Trainer.at_hand``.
        """
        run = await self._trainer.at_hand(run_id)
        place = await self._place(run)
        if not run.state.over:
            yield run
        while True:
            async for events in self._events(run.id, seen, shared=not run.state.over):
                yield events
                seen = events[-1].id
            if run.state.over:
                yield run
                return
            if await self._left():
                return
            before, run = (run.state, place), await self._now(run)
            place = await self._place(run)
            if (run.state, place) != before and not run.state.over:
                yield run

    async def _events(self, run_id: str, start: int, shared: bool = False) -> AsyncIterator[Sequence[Event]]:
        """Events from a place on; ``shared`` with all who look there at the same time, and so perhaps not the last."""
        while True:
            read = partial(self._trainer.reports.events, run_id, start)
            events, following = await (self._lately((run_id, start), read) if shared else read())
            for first in range(0, len(events), TOGETHER):
                yield events[first : first + TOGETHER]
                await asyncio.sleep(0)  # others have their turn even if this watcher is never waited for
            if following == start:
                return
            start = following

    async def measured(self, run_id: str, start: int = 0, points: int | None = None) -> AsyncIterator[Sequence[Event]]:
        """What a run has measured, some hundreds of reports at a time.

        Args:
            run_id: The run.
            start: The id of the event after which to begin.
            points: Thin the reports out to about so many, those of each set of metrics by themselves.

        Raises:
            RunNotFound, RunElsewhere: See ``Trainer.at_hand``.
        """
        run = await self._trainer.at_hand(run_id)
        some = self._events(run.id, start) if points is None else self._trainer.reports.sample(run.id, points, start)
        async for events in some:
            yield [event for event in events if event.kind == "metrics"]

    async def summary(self, run_id: str) -> Said:
        """What a run has told so far.

        Raises:
            RunNotFound, RunElsewhere: See ``Trainer.at_hand``.
        """
        return await self.said(await self._trainer.at_hand(run_id))

    async def follow_log(self, run_id: str, offset: int | None, limit: int) -> AsyncIterator[LogPiece]:
        """What a run prints, piece by piece, until it is over.

        Args:
            run_id: The run.
            offset: Where to begin; None for the last ``limit`` bytes.
            limit: The most that one piece holds.

        Raises:
            RunNotFound, RunElsewhere: See ``Trainer.at_hand``.
        """
        run = await self._trainer.at_hand(run_id)
        while True:
            over = run.state.over  # what it printed before that is all there by now
            while True:
                piece = await self._trainer.read_log(run.id, offset, limit)
                offset = piece.offset + len(piece.content)
                if not piece.content:
                    break
                yield piece
            if over or await self._left():
                return
            run = await self._now(run)

    async def artifacts(self, run_id: str) -> Sequence[KeptFile]:
        """The files that a run keeps.

        Raises:
            RunNotFound, RunElsewhere: See ``Trainer.at_hand``.
        """
        run = await self._trainer.at_hand(run_id)
        return await self._trainer.reports.artifacts(run.id)

    async def artifact(self, run_id: str, name: str) -> Path:
        """Where one of these files lies.

        Raises:
            RunNotFound, RunElsewhere: See ``Trainer.at_hand``.
            NotFound: It keeps no file of this name.
        """
        run = await self._trainer.at_hand(run_id)
        path = await self._trainer.reports.artifact(run.id, name)
        if path is None:
            raise NotFound(f"Training run {run.id} keeps no file {name!r}.")
        return path

    async def _now(self, run: Run) -> Run:
        try:
            return await self._lately(run.id, partial(self._trainer.get, run.id))
        except StoreUnavailable:  # it comes back; what the run tells is in its folder meanwhile
            return run

    async def _place(self, run: Run) -> int | None:
        """The run's place in the queue."""
        if run.state is not RunState.QUEUED:
            return None
        try:
            return (await self._lately("queue", self._trainer.positions)).get(run.id)
        except StoreUnavailable:
            return None

    async def _left(self) -> bool:
        """Pause for a moment.

        Returns:
            Whether it is time to leave.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._leaving.wait()
        return self._leaving.is_set()


class _Lately:
    """Asks once for all who want to know the same at about the same time.

    Args:
        for_s: Seconds for which an answer is good.
    """

    def __init__(self, for_s: float):
        self._for_s = for_s
        self._asked: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}

    async def __call__(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer to a question, if it was not asked a moment ago."""
        now = time.monotonic()
        self._asked = {each: known for each, known in self._asked.items() if now - known[0] < self._for_s}
        if key not in self._asked:
            self._asked[key] = now, asyncio.ensure_future(ask())
        answer: T = await asyncio.shield(self._asked[key][1])
        return answer
