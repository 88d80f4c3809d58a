"""The prediction log: what is kept of a prediction once it was answered, and what must not be."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from deepaas_core.domain.access import ALL_NAMES, Names

#: What stands where a value was that is not kept.
REDACTED = "[redacted]"
#: Classes are text of at most so many characters.
MAX_CLASS_CHARS = 200
#: Probabilities of more classes than these are not kept beside the prediction, only in it.
MAX_SCORES = 32
#: In statistics: parts of a histogram, steps of a timeline, classes that are counted by themselves.
PARTS, STEPS, CATEGORIES = 24, 48, 30
#: Where plain models say what they predict, the first that is there.
_PREDICTED = ("prediction", "label", "class", "predicted", "value", "result", "output", "predictions")
_SCORES = ("probabilities", "probas", "probability", "scores")


class LogMode(StrEnum):
    """How much of the predictions is kept: nothing, everything, or a random part."""

    OFF = "off"
    FULL = "full"
    SAMPLED = "sampled"


@dataclass(frozen=True, slots=True)
class LogRules:
    """What is kept of the predictions of one model or service.

    Attributes:
        mode: How much.
        sample: The part that is kept of sampled ones, 0 to 1.
        redact: Names whose values are not kept, at any depth; in small letters.
        inputs, outputs: Whether these are kept at all.
        max_bytes: Inputs, output and context are each kept only up to so many bytes of JSON.
        durable: Whether an answer waits until its entry is on disk.
    """

    mode: LogMode = LogMode.OFF
    sample: float = 0.1
    redact: frozenset[str] = frozenset()
    inputs: bool = True
    outputs: bool = True
    max_bytes: int = 64 * 1024
    durable: bool = False

    def over(self, said: Mapping[str, Any]) -> LogRules:
        """What the author of a service says, over these rules; names that are redacted here stay so.

        Args:
            said: ``log``, ``sample``, ``redact``, ``inputs``, ``outputs``, ``max_entry_kb``, ``durable``; all optional.
        """
        return LogRules(
            mode=LogMode(said.get("log", self.mode)),
            sample=float(said.get("sample", self.sample)),
            redact=self.redact | folded(said.get("redact", ())),
            inputs=bool(said.get("inputs", self.inputs)),
            outputs=bool(said.get("outputs", self.outputs)),
            max_bytes=said["max_entry_kb"] * 1024 if "max_entry_kb" in said else self.max_bytes,
            durable=bool(said.get("durable", self.durable)),
        )


def folded(names: Collection[str]) -> frozenset[str]:
    """Names as they are compared."""
    return frozenset(name.casefold() for name in names)


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a prediction comes down to, for counting.

    Attributes:
        number: Of a regression, or a class that is a number.
        category: The class, as text.
        scores: The probability of each class.
    """

    number: float | None = None
    category: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What is kept of one answered request, or of one row of it.

    Attributes:
        id: 32 hexadecimal digits, later ones greater; see ``new_id``.
        at: When the prediction began.
        request: Its id, which the answer had in ``X-Request-ID``.
        row: The place of the row in the request, from 0; None if the request was about one thing.
        service: The name of the service or model.
        endpoint: Of a service; of a model, the function.
        generation: Of a service; of a model, its version. Empty where it was not known yet.
        token: Id of the token that the caller showed; empty without one.
        status: The HTTP status of the answer, or of this row.
        error: What kind of error it was; empty without one.
        duration_s: Seconds from the request's arrival to the answer.
        inputs, output, context: JSON texts; None if not kept.
        predicted: The output for counting.
        label: What would have been right, JSON; None as long as nobody has said.
        labelled_at: When that was said.
    """

    id: str
    at: datetime
    request: str
    service: str
    endpoint: str
    generation: str = ""
    row: int | None = None
    token: str = ""
    status: int = 200
    error: str = ""
    duration_s: float = 0.0
    inputs: str | None = None
    output: str | None = None
    context: str | None = None
    predicted: Predicted = Predicted()
    label: str | None = None
    labelled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries somebody wants; None and empty texts choose nothing.

    Attributes:
        names: Of these services and models.
        status: One status, or with ``5`` all from 500 to 599.
        since, until: Begun at this time or after it, and before that.
        labelled: Only those with a label.
    """

    service: str = ""
    endpoint: str = ""
    generation: str = ""
    token: str = ""
    request: str = ""
    status: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    labelled: bool = False
    names: Names = ALL_NAMES

    def covers(self, entry: LogEntry) -> bool:
        """Whether an entry is wanted."""
        asked = ("service", "endpoint", "generation", "token", "request")
        return (
            all(getattr(self, name) in ("", getattr(entry, name)) for name in asked)
            and (self.status is None or self.status in (entry.status, entry.status // 100))
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
            and (entry.label is not None or not self.labelled)
            and entry.service in self.names
        )


@dataclass(frozen=True, slots=True)
class Label:
    """What would have been the right answer.

    Attributes:
        request: The id of the request.
        row: Which row of it; None is the only one, and of a request with rows all of them.
        value: A class or a number.
    """

    request: str
    value: Any
    row: int | None = None


#: Steps of a timeline that are easy to read, in seconds; longer ones are whole days.
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def step_of(span: timedelta) -> timedelta:
    """The step of a timeline over so much time, of which there are at most ``STEPS``."""
    least_s = span.total_seconds() / STEPS
    days = timedelta(days=math.ceil(least_s / 86400))
    return next((timedelta(seconds=step_s) for step_s in _STEPS_S if step_s >= least_s), days)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(at: datetime, row: int | None = None) -> str:
    """An id for an entry: its time in microseconds, the row, so that those of a request lie in order, random bits."""
    place = f"{random.getrandbits(32) if row is None else row:08x}"
    return f"{(at - _EPOCH) // timedelta(microseconds=1):016x}{place}{random.getrandbits(32):08x}"


def moment(at: float | None = None) -> datetime:
    """A Unix time, or now, as an aware time."""
    return datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)


def redacted(value: Any, names: frozenset[str]) -> Any:
    """JSON-native data without the values of some names, at any depth."""
    if not names:
        return value
    if isinstance(value, dict):
        return {
            key: REDACTED if str(key).casefold() in names else redacted(inner, names) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, names) for inner in value]
    return value


def predicted(output: Any, first: str = "") -> Predicted:
    """What an output comes down to: a number, a class, or neither.

    Args:
        output: JSON-native. One answer, also alone in a list, or in an object under a usual name.
        first: Name of the first declared output; empty if none are declared.
    """
    for _ in range(4):
        if isinstance(output, list) and len(output) == 1:
            [output] = output
        elif isinstance(output, dict):
            said = _said(output, first)
            if said is output:
                return Predicted()
            if isinstance(said, dict | list):
                output = said
                continue
            return _of(said, _scores(output, first))
        else:
            break
    return _of(output, {})


def _said(output: Mapping[str, Any], first: str) -> Any:
    for name in (first, *_PREDICTED):
        if name and name in output:
            return output[name]
    scores = _scores(output, first)
    return max(scores, key=scores.__getitem__) if scores else output


def _scores(output: Mapping[str, Any], first: str) -> Mapping[str, float]:
    for name in _SCORES:
        found = output.get(name)
        if isinstance(found, dict) and isinstance(found.get(first), dict):
            found = found[first]
        if isinstance(found, dict) and 0 < len(found) <= MAX_SCORES and all(map(_is_number, found.values())):
            return {str(name)[:MAX_CLASS_CHARS]: float(score) for name, score in found.items()}
    return {}


def _of(value: Any, scores: Mapping[str, float]) -> Predicted:
    if _is_number(value):
        whole = isinstance(value, int) or (bool(scores) and value == int(value))
        return Predicted(float(value), category(value) if whole else None, scores)
    return Predicted(None, category(value), scores)


def category(value: Any) -> str | None:
    """A class as text, so that ``1``, ``1.0`` and ``"1"`` are one; None for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if _is_number(value):
        return str(int(value)) if value == int(value) else repr(value)
    if not isinstance(value, str):
        return None
    return value[:MAX_CLASS_CHARS].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e300
    )


@dataclass(frozen=True)
class Spread:
    """How numbers are spread.

    Attributes:
        edges: Ascending; one more than the counts of each part.
        counts: How many from an edge to the next, by generation.
    """

    edges: Sequence[float] = ()
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Latency:
    """How long answers took, in seconds, over those that are no error; percentiles to a percent."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    most: float


#: Durations that differ by less than this are one where they are counted.
_DURATION_STEP = 1.02
_PERCENTILES = (50, 90, 95, 99)


def duration_class(seconds: float) -> int:
    """About how long something took, so that very many durations can be counted instead of sorted."""
    return max(0, math.floor(math.log(max(seconds, 1e-6) * 1e6, _DURATION_STEP)))


def latency_of(counts: Mapping[int, int], seconds: float, longest: float) -> Latency:
    """What durations come down to, to a percent.

    Args:
        counts: How many there are of each class.
        seconds: All together.
        longest: The longest of them.
    """
    total, passed, marks = sum(counts.values()), 0, list[float]()
    for place in sorted(counts):
        passed += counts[place]
        while len(marks) < len(_PERCENTILES) and 100 * passed >= total * _PERCENTILES[len(marks)]:
            marks.append(min(longest, _DURATION_STEP ** (place + 0.5) / 1e6))
    p50, p90, p95, p99 = marks
    return Latency(total, seconds / total, p50, p90, p95, p99, longest)


@dataclass(frozen=True)
class Statistics:
    """What many entries come down to.

    Attributes:
        counts: Entries by endpoint, generation and status.
        first, last: When the earliest and the latest of them began; None without any.
        latency: By generation; under the empty name, of all.
        step_s: Seconds that one place of ``timeline`` stands for.
        timeline: By the place from ``since`` on: entries, and those of them that are errors of status 400 and above.
        since: Where the timeline begins.
        categories: Entries by class and generation, the most frequent classes.
        other: Entries of all other classes.
        numbers: How predicted numbers are spread.
        labelled: Entries with a label.
    """

    counts: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    latency: Mapping[str, Latency] = field(default_factory=dict)
    since: datetime | None = None
    step_s: float = 0.0
    timeline: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    categories: Mapping[tuple[str, str], int] = field(default_factory=dict)
    other: int = 0
    numbers: Spread = Spread()
    labelled: int = 0

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """How many were errors, of whoever's making."""
        return sum(number for (_, _, status), number in self.counts.items() if status >= 400)
