"""What was measured of each work, kept as a file beside the harness so that works can be measured one by one."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from benchmarks.targets import Target
from benchmarks.works import Figure, Options

#: Values of all rounds by target, case and metric.
Values = Mapping[tuple[str, str, str], Sequence[float]]


@dataclass(frozen=True)
class Record:
    """One work's figures.

    Attributes:
        command: That made them.
        day: When.
        seconds: Length of a turn.
        versions: By target.
        values: See ``Values``; a round without a figure is not a number.
        reasons: Why a target has no figure, by target and case.
    """

    command: str
    day: str
    seconds: float
    versions: dict[str, str]
    values: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)


def collect(figures: Iterable[Figure], targets: Sequence[Target], options: Options, command: str) -> Record:
    """Gather a work's figures as they come."""
    versions = {target.name: target.environment.version() for target in targets}
    record = Record(command, date.today().isoformat(), options.seconds, versions)
    for figure in figures:
        if figure.reason:
            record.reasons[figure.target, figure.case] = figure.reason
        rounds = record.values.setdefault((figure.target, figure.case, figure.metric), [])
        rounds += [math.nan] * (figure.round - len(rounds)) + [figure.value]
    return record


def ratios(values: Values, case: str, metric: str, name: str, base: str) -> list[float]:
    """A target's figures by another's of the same rounds; empty once it failed in any of them."""
    own, other = values.get((name, case, metric), ()), values.get((base, case, metric), ())
    if any(math.isnan(value) for value in own):
        return []
    return [one / two for one, two in zip(own, other, strict=False) if two > 0]


def median(values: Sequence[float]) -> float:
    """The median; not a number for none."""
    return statistics.median(values) if values else math.nan


def load(file: Path) -> dict[str, Record]:
    """The records of all works that were measured."""
    if not file.exists():
        return {}
    records = {}
    for work, kept in json.loads(file.read_text()).items():
        values = {
            (name, case, metric): [math.nan if value is None else value for value in found]
            for name, cases in kept.pop("values").items()
            for case, metrics in cases.items()
            for metric, found in metrics.items()
        }
        reasons = {(name, case): why for name, cases in kept.pop("reasons").items() for case, why in cases.items()}
        records[work] = Record(**kept, values=values, reasons=reasons)
    return records


def save(file: Path, records: Mapping[str, Record]) -> None:
    """Keep them; a target's case is a line."""
    kept = {}
    for work, record in records.items():
        values: dict[str, dict[str, dict[str, list[float | None]]]] = {}
        for (name, case, metric), found in record.values.items():
            rounded = [None if math.isnan(value) else float(f"{value:.5g}") for value in found]
            values.setdefault(name, {}).setdefault(case, {})[metric] = rounded
        reasons: dict[str, dict[str, str]] = {}
        for (name, case), why in record.reasons.items():
            reasons.setdefault(name, {})[case] = why
        kept[work] = {**vars(record), "values": values, "reasons": reasons}
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
