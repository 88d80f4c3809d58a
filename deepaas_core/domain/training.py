"""Training runs: what is known of one, and which way it may go from here.

A run is a value. Each step of its life is a pure function from one value to the next, with the time handed in, so that
whoever acts on a run (a watcher, a cancelling client, a server coming back) obeys the same rules.

    queued ──▶ running ──▶ succeeded | failed | cancelled | interrupted
      │  ▲        │
      │  └────────┘ its process never began
      └──▶ cancelled | failed
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from deepaas_core.domain.reports import Condition, Said
from deepaas_core.errors import Conflict, RunAlreadyOver

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def over(self) -> bool:
        """Whether nothing more can happen to the run."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True)
class RunError:
    """Why a run did not succeed.

    Attributes:
        kind: The type of the model's exception, e.g. ``ValueError``, or one of ours: ``exit``, ``signal``, ``lost``,
            ``launch``, ``result``.
        message: Its text.
        traceback: The model's frames; empty when it had no chance to say.
    """

    kind: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Process:
    """A process that is not confused with a later one of the same number.

    Attributes:
        pid: Its number.
        started: When it started, in the operating system's own terms; only good for comparing.
    """

    pid: int
    started: str


@dataclass(frozen=True)
class Ending:
    """How a run's process ended, as far as that can be known.

    Attributes:
        state: ``succeeded``, ``failed`` or ``interrupted``.
        at: When it ended, if it left word of that.
    """

    state: RunState
    result: Any = None
    error: RunError | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Place:
    """Where a run belongs.

    Attributes:
        server: The id of the server that executes it, or, as long as it waits, of the one that took it in.
        home: The id of the folder in which its own folder lies; servers that share that folder share its runs.
        anywhere: Whether any server that has the model may execute it, since its record says all that it takes.
    """

    server: str = ""
    home: str = ""
    anywhere: bool = False


@dataclass(frozen=True)
class Choice:
    """Somebody's choice of the run whose model is to be served; a better run after it still takes its place.

    Attributes:
        run: The run's id; None for the model as it was installed.
        at: When it was made.
    """

    run: str | None
    at: datetime


@dataclass(frozen=True)
class Run:
    """One execution of a model's ``train``.

    Attributes:
        id: 128 random bits in hexadecimal.
        model, version: What is trained, and the version it stated when the run was asked for.
        arguments: What ``train`` is called with, as plain JSON values; those marked secret are not kept here.
        created_at, started_at, finished_at: Aware UTC.
        result: What ``train`` returned, as a plain JSON value.
        process: The process that leads the run's own session.
        said: What it has told of itself, as of when the record was last written.
        retry_of: The id of the run that this one tries again.
        promote_if: What it must reach for its model to be served.
        place: Where it is executed.
    """

    id: str
    model: str
    version: str
    arguments: Mapping[str, Any]
    created_at: datetime
    state: RunState = RunState.QUEUED
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Any = None
    error: RunError | None = None
    process: Process | None = field(default=None)
    said: Said = field(default_factory=Said)
    retry_of: str | None = None
    promote_if: Condition | None = None
    place: Place = Place()

    @classmethod
    def queued(cls, model: str, version: str, arguments: Mapping[str, Any], at: datetime, **more: Any) -> Run:
        """A new run that waits for its turn."""
        return cls(id=uuid.uuid4().hex, model=model, version=version, arguments=arguments, created_at=at, **more)

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None as long as it is not over, or if it never started."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def promotable(self) -> bool:
        """Whether it ended so well that its model may be served."""
        if self.state is not RunState.SUCCEEDED:
            return False
        return self.promote_if is None or self.promote_if.met_by(self.said.metrics, self.result)

    def start(self, at: datetime, where: Place | None = None) -> Run:
        """Take the run from the queue; its process comes next.

        Args:
            at: Now.
            where: The server that takes it, and its folder; None if there is only one.
        """
        self._allow(RunState.QUEUED)
        where = where or self.place
        place = replace(self.place, server=where.server, home=where.home)
        return replace(self, state=RunState.RUNNING, started_at=at, place=place)

    def note(self, said: Said) -> Run:
        """Keep what the run has told so far."""
        return replace(self, said=said)

    def attach(self, process: Process) -> Run:
        """Note which process executes the run."""
        self._allow(RunState.RUNNING)
        return replace(self, process=process)

    def requeue(self) -> Run:
        """Put back a run whose process never began."""
        self._allow(RunState.RUNNING)
        if self.process is not None:
            raise Conflict(f"Training run {self.id} has begun.")
        return replace(self, state=RunState.QUEUED, started_at=None)

    def succeed(self, at: datetime, result: Any) -> Run:
        """``train`` returned."""
        return self.end(at, Ending(RunState.SUCCEEDED, result=result))

    def fail(self, at: datetime, error: RunError) -> Run:
        """``train`` raised, its process died, or there is no way to start it."""
        return self.end(at, Ending(RunState.FAILED, error=error))

    def interrupt(self, at: datetime, reason: str) -> Run:
        """Its machine or process was lost; ``train`` is not to blame."""
        return self.end(at, Ending(RunState.INTERRUPTED, error=RunError("lost", reason)))

    def cancel(self, at: datetime) -> Run:
        """Somebody asked for its end."""
        self._allow(RunState.QUEUED, RunState.RUNNING)
        return replace(self, state=RunState.CANCELLED, finished_at=self._not_before_start(at))

    def end(self, at: datetime, ending: Ending) -> Run:
        """End the run the way its process did.

        Args:
            at: Now; the end of the run unless the process left word of an earlier one.
            ending: How the process ended.
        """
        if ending.state is RunState.FAILED:
            self._allow(RunState.QUEUED, RunState.RUNNING)
        else:
            self._allow(RunState.RUNNING)
        return replace(
            self,
            state=ending.state,
            finished_at=self._not_before_start(min(at, ending.at or at)),
            result=ending.result,
            error=ending.error,
        )

    def _not_before_start(self, at: datetime) -> datetime:
        """Clocks can be set back; durations are never negative."""
        return max(at, self.started_at or self.created_at)

    def _allow(self, *states: RunState) -> None:
        if self.state.over:
            raise RunAlreadyOver(self.id, self.state)
        if self.state not in states:
            raise Conflict(f"Training run {self.id} is {self.state}.")


def is_run_id(text: str) -> bool:
    """Whether a text has the shape of a run's id, and so may be looked for."""
    return _ID.fullmatch(text) is not None
