"""What the use cases need from a place that keeps records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from deepaas_core.domain.access import ALL_NAMES, Names, Records, Rule, Token
from deepaas_core.domain.automation import Execution
from deepaas_core.domain.deployment import Deployment, Generation, Rollout
from deepaas_core.domain.prediction_log import Label, LogEntry, Statistics, Wanted
from deepaas_core.domain.service import Query
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


class ServiceStore(Protocol):
    """Keeps services: their generations, which of them are live, how that came about, and what they are tested with.

    As with runs, what a call has stored when it returns stays, and every method raises ``StoreUnavailable`` when the
    records cannot be reached right now. Changes follow one another; each is seen as a whole or not at all.
    """

    async def add_generation(self, generation: Generation) -> Generation:
        """Keep a new generation; its service is there from the first one on.

        Returns:
            The same with its number.

        Raises:
            VersionTaken: The service has, or once had, a generation of this version.
        """
        ...

    async def generations(self, service: str | None = None) -> Sequence[Generation]:
        """All of them, or those of one service, in the order in which they were published."""
        ...

    async def versions(self, service: str) -> frozenset[str]:
        """The versions that are taken: those of generations that were deleted, too."""
        ...

    async def remove_generation(self, service: str, version: str) -> None:
        """Forget a generation; its version stays taken.

        Raises:
            GenerationNotFound: There is none.
            GenerationInUse: It is live, or a rollout is about to make it so.
        """
        ...

    async def remove_service(self, service: str) -> None:
        """Forget a service with everything of it.

        Raises:
            ServiceNotFound: There is none.
            Conflict: It answers.
        """
        ...

    async def deployments(self) -> Mapping[str, Deployment]:
        """How each service is deployed, by its name."""
        ...

    async def set_enabled(self, service: str, enabled: bool, at: datetime) -> Deployment:
        """Let a service answer, or not.

        Raises:
            ServiceNotFound: There is none.
        """
        ...

    async def add_rollout(self, rollout: Rollout) -> None:
        """Keep a rollout that was asked for.

        Raises:
            GenerationNotFound: One of the generations is not there.
        """
        ...

    async def advance(self, old: Rollout, new: Rollout) -> bool:
        """Store ``new`` if the rollout still has the state of ``old``; gives whether it was stored."""
        ...

    async def go_live(self, rollout: Rollout, at: datetime) -> Rollout | None:
        """Make a rollout's shares those of its service, in one step with the rollout's own end.

        Returns:
            The rollout as it is then; None if it is over already, or if the shares are not those any more that it was
            to take the place of.
        """
        ...

    async def rollout(self, service: str, rollout_id: str) -> Rollout:
        """One rollout.

        Raises:
            RolloutNotFound: There is none of this id.
        """
        ...

    async def rollouts(self, service: str, limit: int) -> Sequence[Rollout]:
        """The last rollouts of a service, newest first."""
        ...

    async def open_rollouts(self) -> Sequence[Rollout]:
        """The rollouts that are not over, of all services and servers, oldest first."""
        ...

    async def queries(self, service: str) -> Sequence[Query]:
        """The test queries that are stored with a service, besides those of its generations.

        Raises:
            ServiceNotFound: There is none.
        """
        ...

    async def set_queries(self, service: str, queries: Sequence[Query]) -> None:
        """Store the test queries of a service, in place of those that it had.

        Raises:
            ServiceNotFound: There is none.
        """
        ...

    async def revision(self) -> int:
        """A number that every change makes greater, but for steps of a rollout that change nothing for callers."""
        ...


class AutomationStore(Protocol):
    """Keeps the executions of automations.

    As with runs, what a call has stored when it returns stays, and every method raises ``StoreUnavailable`` when the
    records cannot be reached right now.
    """

    async def add(self, execution: Execution) -> bool:
        """Keep a new execution; whether it was stored, which it is not if its automation has answered to its cause."""
        ...

    async def get(self, service: str, execution_id: str) -> Execution:
        """One execution.

        Raises:
            ExecutionNotFound: The service has none of this id.
        """
        ...

    async def list(self, service: str, automation: str | None = None, limit: int = 100) -> Sequence[Execution]:
        """The last executions of a service, or of one of its automations, newest first."""
        ...

    async def open(self) -> Sequence[Execution]:
        """The executions that are not over, of all services and servers, oldest first."""
        ...

    async def last(self, service: str, automation: str, cause: str) -> Execution | None:
        """The newest execution of an automation that has this kind of cause."""
        ...

    async def replace(self, old: Execution, new: Execution) -> bool:
        """Store ``new`` if the execution still is as ``old``; gives whether it was stored."""
        ...

    async def forget(self, service: str) -> None:
        """Forget all executions of a service."""
        ...


class PredictionStore(Protocol):
    """Keeps the prediction log.

    What a call has stored when it returns stays, and every method raises ``StoreUnavailable`` when the log cannot be
    reached right now. Nothing needs memory by how many entries there are.
    """

    async def add(self, entries: Sequence[LogEntry]) -> None:
        """Keep new entries, all or none; those that are there already are passed over."""
        ...

    async def find(
        self, wanted: Wanted, limit: int, before: str | None = None, *, texts: bool = True
    ) -> Sequence[LogEntry]:
        """Entries, newest first.

        Args:
            wanted: Which.
            limit: At most so many.
            before: Only those older than the one of this id.
            texts: With inputs, output and context; much quicker without.
        """
        ...

    async def label(self, labels: Sequence[Label], names: Names, at: datetime) -> Sequence[Label]:
        """Keep what would have been right, in place of what was said before.

        Args:
            labels: Of which requests and rows.
            names: Only predictions of these services and models.
            at: The time.

        Returns:
            Those that no entry is about.
        """
        ...

    async def statistics(self, wanted: Wanted) -> Statistics:
        """What the wanted entries come down to."""
        ...

    async def trim(self, until: datetime | None, keep: int | None) -> int:
        """Remove some thousands of the entries that need not be kept any longer.

        Args:
            until: Those from before this time.
            keep: Of each service and model, all but so many of the newest.

        Returns:
            How many; 0 when there is nothing left to remove.
        """
        ...

    async def close(self) -> None:
        """Let go of where the log is."""
