"""From records to a page: goals and tables, as ratios to bare wherever the machine's own speed would show."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from benchmarks.goals import BARE, GOALS, short
from benchmarks.record import Record, median, ratios
from benchmarks.targets import TARGETS

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
TITLES = {
    "W1": "W1: echo of a small JSON",
    "W2": "W2: one row into scikit-learn",
    "W3": "W3: a million 32-bit floats in, their mean out",
    "W4": "W4: an upload of 64 MB, length and SHA-256 out",
    "W5": "W5: others, while 64 connections keep a model busy that blocks for 50 ms",
    "W6": "W6: start-up, memory, size",
    "growth": "Memory after 50,000 requests",
}
#: Metrics whose value depends on how fast the machine is, shown as ratios.
RELATIVE = ("req/s", "p50 µs", "p99 µs", "CPU µs")
METHOD = """\
Rates (req/s), latencies under load (p50, p99) and processor time per request (CPU) are ratios to bare in the same
round, whose own medians stand in the line of bare. Figures are medians over the rounds, with their range in
parentheses. All processes of a server share one core, and whoever asks has another. `–`: not offered, or failed and
then told below its table: a target with one wrong answer in a case has no figure for it."""


def page(records: Mapping[str, Record]) -> str:
    """All that was measured, as Markdown."""
    works = [work for work in TITLES if work in records]
    processor = f"{os.cpu_count()} cores, {platform.machine()}, {platform.python_implementation()}"
    lines = [METHOD, "", f"Measured on {processor} {platform.python_version()}.", "", "### Goals", ""]
    lines += ["| | found | |", "|---|---|---|"]
    lines += [f"| **{goal.work}** {goal.line(records[goal.work])[2:]}" for goal in GOALS if goal.work in records]
    lines += ["", "### Targets", "", *_targets(records)]
    for work in works:
        lines += _section(work, records[work])
    return "\n".join(lines) + "\n"


def write(file: Path, content: str) -> None:
    """Put the tables between the marks of a page, or at its end."""
    text = file.read_text() if file.exists() else "# Performance\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{content}\n{END}\n{after.lstrip()}")


def _targets(records: Mapping[str, Record]) -> list[str]:
    versions: dict[str, str] = {}
    for record in records.values():
        versions |= record.versions
    return [f"- {t.name} {versions[t.name]}: {t.note}" for t in TARGETS if t.name in versions]


def _section(work: str, record: Record) -> list[str]:
    made = f"`{record.command}`, {record.day}; {_rounds(record)} rounds, a turn takes {record.seconds:g} s at least."
    lines = ["", f"### {TITLES[work]}", "", made]
    columns = [(case, metric) for _, case, metric in record.values]
    columns = [column for column in dict.fromkeys(columns) if _known(record, *column)]
    cases = dict.fromkeys(case for case, _ in columns)
    if len(cases) < len(columns) and work not in ("W6", "growth"):
        for case in cases:
            own = [column for column in columns if column[0] == case]
            lines += ["", f"**{case}**", "", *_table(record, own, [metric for _, metric in own])]
    else:
        lines += ["", *_table(record, columns, [f"{case}, {metric}" for case, metric in columns])]
    reasons = [f"- {name}, {case}: {why}" for (name, case), why in record.reasons.items() if why != "not offered"]
    return [*lines, *([""] if reasons else []), *reasons]


def _rounds(record: Record) -> int:
    return max((len(found) for found in record.values.values()), default=0)


def _known(record: Record, case: str, metric: str) -> bool:
    return any(
        not math.isnan(value) for key, found in record.values.items() if key[1:] == (case, metric) for value in found
    )


def _table(record: Record, columns: list[tuple[str, str]], heads: list[str]) -> list[str]:
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in record.versions:
        cells = [_cell(record, name, case, metric) for case, metric in columns]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(record: Record, name: str, case: str, metric: str) -> str:
    """Median and range of one target."""
    found = list(record.values.get((name, case, metric), ()))
    if metric in RELATIVE and BARE in record.versions:
        if name == BARE:
            return f"1 (= {short(median(found))})" if found else "–"
        found = ratios(record.values, case, metric, name, BARE)
    if not found or any(math.isnan(value) for value in found):
        return "–"
    middle = short(median(found))
    return middle if len(found) == 1 else f"{middle} ({short(min(found))}–{short(max(found))})"
