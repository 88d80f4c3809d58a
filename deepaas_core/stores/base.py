"""What the use cases need from a place that keeps records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from deepaas_core.domain.training import Run, RunState

#: Results whose JSON is longer than this are left out of lists; ``get`` has them.
LONG_RESULT_CHARS = 64 * 1024


class RunStore(Protocol):
    """Keeps the index and the history of training runs.

    What a call has stored when it returns survives the death of the server and of the machine's power. Every method
    raises ``StoreUnavailable`` when the records cannot be reached right now; nothing is stored then, and a later try
    may succeed.
    """

    async def add(self, run: Run) -> None:
        """Keep a new run.

        Raises:
            Conflict: There is a run of this id.
        """
        ...

    async def get(self, run_id: str) -> Run:
        """The run as it is now.

        Raises:
            RunNotFound: There is none.
        """
        ...

    async def list(
        self,
        *,
        model: str | None = None,
        states: Collection[RunState] = (),
        limit: int | None = None,
        before: str | None = None,
    ) -> Sequence[Run]:
        """Runs in the order they were added, newest first, without tracebacks and long results.

        Args:
            model: Only runs of this model.
            states: Only runs in one of these states; none means any.
            limit: At most so many.
            before: Only runs older than the one of this id; none, if there is no such run.
        """
        ...

    async def queue(self, limit: int) -> Sequence[Run]:
        """The queued runs that have waited longest, oldest first."""
        ...

    async def count(self) -> Mapping[RunState, int]:
        """How many runs are in each state; states without any may be missing."""
        ...

    async def replace(self, old: Run, new: Run) -> bool:
        """Store ``new`` if the run still has the state and process that ``old`` has.

        Of several who try to move a run on from the same point, exactly one succeeds.

        Returns:
            Whether it was stored.
        """
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
