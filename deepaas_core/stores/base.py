"""What the use cases need from a place that keeps records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from deepaas_core.domain.access import ALL_NAMES, Names, Records, Rule, Token
from deepaas_core.domain.training import Choice, Run, RunState

#: Results whose JSON is longer than this are left out of lists; ``get`` has them.
LONG_RESULT_CHARS = 64 * 1024


@dataclass(frozen=True)
class Peer:
    """A server that uses these records.

    Attributes:
        address: Where people reach it; empty if it did not say.
        seen_at: When it last gave a sign of life, by the clock of the one who keeps the records. Not to be compared
            with any other clock.
    """

    address: str
    seen_at: datetime


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
        ids: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        models: Names = ALL_NAMES,
    ) -> Sequence[Run]:
        """Runs in the order they were added, newest first, without tracebacks and long results.

        Args:
            model: Only runs of this model.
            states: Only runs in one of these states; none means any.
            limit: At most so many.
            before: Only runs older than the one of this id; none, if there is no such run.
            ids: Only these.
            since: Only runs created at this time or after it.
            until: Only runs created before this time.
            models: Only runs of these models.
        """
        ...

    async def queue(
        self, limit: int, home: str = "", models: Mapping[str, str] = MappingProxyType({})
    ) -> Sequence[Run]:
        """The queued runs that a server may take and that have waited longest, at most ``limit`` of each model.

        Args:
            limit: So many of each model.
            home: All of this home may be taken.
            models: Of other homes, those that may be executed anywhere and are of one of these models, by name, at
                just this version.

        Returns:
            Oldest first.
        """
        ...

    async def positions(self) -> Mapping[str, int]:
        """The place of each queued run by its id, 1 for the one that has waited longest; at most some thousands."""
        ...

    async def count(self) -> Mapping[RunState, int]:
        """How many runs are in each state; states without any may be missing."""
        ...

    async def replace(self, old: Run, new: Run, *, unseen_since: datetime | None = None) -> bool:
        """Store ``new`` if the run still has the state, process and server that ``old`` has.

        Of several who try to move a run on from the same point, exactly one succeeds.

        Args:
            old: The run as it was read.
            new: What it is to be.
            unseen_since: Store it only if this still is the last sign of life of the run's server.

        Returns:
            Whether it was stored.
        """
        ...

    async def remove(self, run_id: str) -> bool:
        """Forget a run that is over.

        Returns:
            Whether there was one.
        """
        ...

    async def choose(self, model: str, choice: Choice) -> None:
        """Keep which run's model is to be served, in place of an earlier choice."""
        ...

    async def chosen(self, model: str) -> Choice | None:
        """The last choice for a model, if there was one."""
        ...

    async def greet(self, server: str, address: str) -> None:
        """Note that a server lives."""
        ...

    async def peers(self) -> Mapping[str, Peer]:
        """All servers that ever greeted, by id."""
        ...


class TokenStore(Protocol):
    """Keeps tokens, and the rules of names: who may call which model or service.

    As with runs, what a call has stored when it returns stays, and every method raises ``StoreUnavailable`` when the
    records cannot be reached right now.
    """

    async def add(self, token: Token) -> None:
        """Keep a new token.

        Raises:
            Conflict: There is a token of this id.
        """
        ...

    async def revoke(self, token_id: str, at: datetime) -> Token:
        """Withdraw a token; one that is withdrawn stays as it is.

        Raises:
            TokenNotFound: There is none of this id.
        """
        ...

    async def set_rule(self, name: str, rule: Rule | None) -> None:
        """Keep what was said of a name, in place of what was said before; None forgets that."""
        ...

    async def revision(self) -> int:
        """A number that every change makes greater."""
        ...

    async def records(self) -> Records:
        """All there is."""
        ...
