"""What is measured: plain counts on the path of a request, and everything else only when somebody asks.

Labels come from fixed sets: route templates, names of models that are served, statuses, states. Whatever a client makes
up is counted under the empty label. Several processes count apart; their counts are added when they are shown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Upper bounds of the histograms' buckets, in seconds.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Labels = tuple[str, ...]


class Series:
    """How often something ended in which way, and how long it took."""

    __slots__ = ("buckets", "outcomes", "seconds")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def observe(self, outcome: str, seconds: float | None) -> None:
        """Count one more; None for one whose duration means nothing."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if seconds is not None:
            self.buckets[bisect_left(BOUNDS, seconds)] += 1
            self.seconds += seconds


class Counts:
    """What one process has counted, or several together."""

    __slots__ = ("calls", "entries", "requests")

    def __init__(self) -> None:
        self.requests: dict[Labels, Series] = {}
        self.calls: dict[Labels, Series] = {}
        self.entries = {"written": 0, "dropped": 0}

    def request(self, method: str, route: str, model: str, status: int, seconds: float) -> None:
        """A request has been answered; ``route`` is its template, empty for a path that there is not."""
        _observe(self.requests, (method, route, model), str(status), seconds)

    def call(self, model: str, hook: str, outcome: str, seconds: float | None) -> None:
        """A call of a model's hook has ended: ``ok``, or in what class of error.

        The seconds are those that the hook worked on it; None if it gave no answer.
        """
        _observe(self.calls, (model, hook), outcome, seconds)

    def entry(self, outcome: str, number: int) -> None:
        """So many entries of the prediction log were ``written`` or ``dropped``."""
        self.entries[outcome] += number

    def add(self, plain: Mapping[str, Any]) -> None:
        """Add what another process has counted."""
        for outcome, number in plain["entries"].items():
            self.entry(outcome, number)
        for name, table in (("requests", self.requests), ("calls", self.calls)):
            for labels, outcomes, buckets, seconds in plain[name]:
                series = table.setdefault(tuple(labels), Series())
                for outcome, number in outcomes.items():
                    series.outcomes[outcome] = series.outcomes.get(outcome, 0) + number
                series.buckets = [ours + theirs for ours, theirs in zip(series.buckets, buckets, strict=True)]
                series.seconds += seconds

    def keep(self, is_there: Callable[[str], bool]) -> None:
        """Forget what was counted of models, and generations of services, that are no longer there."""
        self.requests = {labels: one for labels, one in self.requests.items() if is_there(labels[2])}
        self.calls = {labels: one for labels, one in self.calls.items() if is_there(labels[0])}

    def to_plain(self) -> dict[str, Any]:
        """As plain data, for ``add``."""
        return {"requests": _plain(self.requests), "calls": _plain(self.calls), "entries": dict(self.entries)}


def _observe(table: dict[Labels, Series], labels: Labels, outcome: str, seconds: float | None) -> None:
    series = table.get(labels)
    if series is None:
        series = table[labels] = Series()
    series.observe(outcome, seconds)


def _plain(table: Mapping[Labels, Series]) -> list[Any]:
    return [[[*labels], dict(one.outcomes), list(one.buckets), one.seconds] for labels, one in table.items()]


@dataclass(frozen=True)
class ModelGauges:
    """One model at this moment.

    Attributes:
        state: One of ``states`` of the whole.
        waiting: Calls that wait for a worker.
        workers: Workers that can take calls.
        restarts: Workers that were restarted.
    """

    name: str
    state: str
    waiting: int
    workers: int
    restarts: int


@dataclass(frozen=True)
class Gauges:
    """The server at this moment.

    Attributes:
        version: The server's.
        states: Every state that a model can be in.
        models: The models that are served.
        runs: Training runs by state; empty if the records cannot be read right now.
        memory: Resident bytes by what a process does (``server``, ``http``, ``worker``) and for which model.
        http_processes: Processes that answer requests.
    """

    version: str
    states: tuple[str, ...]
    models: tuple[ModelGauges, ...] = ()
    runs: Mapping[str, int] = field(default_factory=dict)
    memory: Mapping[tuple[str, str], int] = field(default_factory=dict)
    http_processes: int = 1
