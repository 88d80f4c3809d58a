"""What a training run says of itself while it goes on: how far it is, and what it has measured.

    said = Said().hear(event, event)

``Said`` is the sum of all events so far, small however many there were; it stays with the run when it is over.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard

from deepaas_core.errors import InvalidInput, Issue

MAX_METRICS = 200
#: Metrics with longer names stay in the run's own file.
MAX_NAME_CHARS = 200
MAX_TEXT_CHARS = 1000

_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*(?P<metric>[\w./-]{1,200}?)\s*(?P<sign>[<>=!]=|[<>])\s*(?P<bound>[-+.\deE]{1,40})\s*")


@dataclass(frozen=True)
class Progress:
    """How far a run is, in its own unit."""

    done: float
    total: float

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; None if the total makes no sense."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else None


@dataclass(frozen=True)
class Event:
    """One thing that a run has told.

    Attributes:
        id: Where in the run's events the next one begins: whoever knows it can go on from there.
        kind: ``metrics``, ``progress`` or ``artifact``.
        at: When, in aware UTC; None if it did not say.
        values: What, as plain JSON values.
    """

    id: int
    kind: str
    at: datetime | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """Everything a run has told, in short.

    Attributes:
        progress: The last one told.
        metrics: The last value of each metric: numbers, short texts, booleans or None.
        reports: How many times it reported metrics.
    """

    progress: Progress | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reports: int = 0

    def hear(self, *events: Event) -> Said:
        """With some events more."""
        progress, metrics, reports = self.progress, dict(self.metrics), self.reports
        for event in events:
            if event.kind == "progress":
                done, total = event.values.get("done"), event.values.get("total")
                progress = Progress(done, total) if is_number(done) and is_number(total) else progress
            elif event.kind == "metrics":
                reports += 1
                for name, value in event.values.items():
                    room = name in metrics or (len(metrics) < MAX_METRICS and len(name) <= MAX_NAME_CHARS)
                    if room and isinstance(value, bool | int | float | str | None):
                        metrics[name] = value[:MAX_TEXT_CHARS] if isinstance(value, str) else value
        return Said(progress, metrics, reports)


@dataclass(frozen=True)
class Condition:
    """What a trained model must reach to be served, e.g. ``accuracy >= 0.9``."""

    metric: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises:
            InvalidInput: It is none.
        """
        found = _CONDITION.fullmatch(text)
        try:
            bound = float(found["bound"]) if found else math.nan
        except ValueError:
            bound = math.nan
        if found is None or not math.isfinite(bound):
            detail = "A condition is a metric, a comparison (>=, <=, >, <, ==, !=) and a number, e.g. accuracy >= 0.9."
            raise InvalidInput([Issue("/promote_if", detail)])
        return cls(found["metric"], found["sign"], bound)

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:g}"

    def met_by(self, metrics: Mapping[str, Any], result: Any = None) -> bool:
        """Whether the last value of the metric, or else the result's member of that name, is as it must be.

        A metric that is missing, or is no number, meets nothing.
        """
        value = metrics.get(self.metric)
        if value is None and isinstance(result, Mapping):
            value = result.get(self.metric)
        return is_number(value) and bool(_COMPARISONS[self.sign](value, self.bound))


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
