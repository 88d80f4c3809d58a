"""The prediction log in memory, for tests and for trying things out."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from deepaas_core.domain.access import Names
from deepaas_core.domain.prediction_log import (
    CATEGORIES,
    PARTS,
    Label,
    Latency,
    LogEntry,
    Spread,
    Statistics,
    Wanted,
    duration_class,
    latency_of,
    step_of,
)


class MemoryPredictionStore:
    """Keeps the prediction log as long as it lives."""

    def __init__(self) -> None:
        self._entries: dict[str, LogEntry] = {}

    async def add(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            self._entries.setdefault(entry.id, entry)

    async def find(
        self, wanted: Wanted, limit: int, before: str | None = None, *, texts: bool = True
    ) -> Sequence[LogEntry]:
        found = [entry for entry in self._newest() if wanted.covers(entry) and (before is None or entry.id < before)]
        bare = found if texts else [replace(entry, inputs=None, output=None, context=None) for entry in found]
        return bare[:limit]

    async def label(self, labels: Sequence[Label], names: Names, at: datetime) -> Sequence[Label]:
        unknown = []
        for label in labels:
            about = [
                entry
                for entry in self._entries.values()
                if entry.request == label.request and label.row in (None, entry.row) and entry.service in names
            ]
            for entry in about:
                self._entries[entry.id] = replace(entry, label=json.dumps(label.value), labelled_at=at)
            if not about:
                unknown.append(label)
        return unknown

    async def statistics(self, wanted: Wanted) -> Statistics:
        entries = [entry for entry in self._newest() if wanted.covers(entry)]
        if not entries:
            return Statistics()
        first, last = entries[-1].at, entries[0].at
        since, until = wanted.since or first, wanted.until or last + timedelta(microseconds=1)
        step = step_of(until - since)
        classes = Counter(entry.predicted.category for entry in entries if entry.predicted.category is not None)
        top = [name for name, _ in sorted(classes.items(), key=lambda one: (-one[1], one[0]))[:CATEGORIES]]
        return Statistics(
            counts=Counter((entry.endpoint, entry.generation, entry.status) for entry in entries),
            first=first,
            last=last,
            latency=_latency([entry for entry in entries if entry.status < 400]),
            since=since,
            step_s=step.total_seconds(),
            timeline=_timeline((int((entry.at - since) / step), entry.status >= 400) for entry in entries),
            categories=Counter(
                (entry.predicted.category, entry.generation) for entry in entries if entry.predicted.category in top
            ),
            other=sum(classes.values()) - sum(classes[name] for name in top),
            numbers=_numbers(entries),
            labelled=sum(entry.label is not None for entry in entries),
        )

    async def trim(self, until: datetime | None, keep: int | None) -> int:
        ranks, gone = Counter[str](), []
        for entry in self._newest():
            if (until is not None and entry.at < until) or (keep is not None and ranks[entry.service] >= keep):
                gone.append(entry.id)
            ranks[entry.service] += 1
        for entry_id in gone:
            del self._entries[entry_id]
        return len(gone)

    async def close(self) -> None:
        self._entries.clear()

    def _newest(self) -> Sequence[LogEntry]:
        return [self._entries[entry_id] for entry_id in sorted(self._entries, reverse=True)]


def _timeline(seen: Iterable[tuple[int, bool]]) -> Mapping[int, tuple[int, int]]:
    timeline: dict[int, tuple[int, int]] = {}
    for place, failed in seen:
        number, failures = timeline.get(place, (0, 0))
        timeline[place] = number + 1, failures + failed
    return timeline


def _latency(entries: Sequence[LogEntry]) -> Mapping[str, Latency]:
    found = {}
    for part in {entry.generation for entry in entries} | ({""} if entries else set()):
        times = [entry.duration_s for entry in entries if part in ("", entry.generation)]
        found[part] = latency_of(Counter(map(duration_class, times)), math.fsum(times), max(times))
    return found


def _numbers(entries: Sequence[LogEntry]) -> Spread:
    numbers = [(entry.generation, entry.predicted.number) for entry in entries if entry.predicted.number is not None]
    if not numbers:
        return Spread()
    least, most = min(number for _, number in numbers), max(number for _, number in numbers)
    width = (most - least) / PARTS or 1.0
    counts: dict[str, list[int]] = {}
    for generation, number in numbers:
        counts.setdefault(generation, [0] * PARTS)[min(PARTS - 1, int((number - least) / width))] += 1
    return Spread([least + at * width for at in range(PARTS + 1)], counts)
