"""From figures to a page: medians and ranges, as ratios to bare wherever the machine's own speed would show."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.targets import Target
from benchmarks.works import Figure

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
TITLES = {
    "W1": "W1: echo of a small JSON",
    "W2": "W2: one row into scikit-learn, by number of connections",
    "W3": "W3: a million 32-bit floats in, their mean out",
    "W4": "W4: an upload of 64 MB, length and SHA-256 out",
    "W5": "W5: latency (p99) of others while 64 connections keep a model busy that blocks 50 ms",
    "W6": "W6: start-up, memory, size",
    "growth": "Memory after 50,000 requests, as a ratio to that after 5,000",
}
#: Metrics whose value depends on how fast the machine is, shown as ratios.
RELATIVE = ("req/s", "p50 µs", "CPU µs")
HIDDEN = ("p99 µs",)


def page(figures: Sequence[Figure], targets: Sequence[Target], command: str) -> str:
    """All tables, as Markdown."""
    works = list(dict.fromkeys(figure.work for figure in figures))
    rounds = 1 + max((figure.round for figure in figures), default=0)
    head = [
        f"Made by `{command}`: {rounds} rounds, {os.cpu_count()} cores, {platform.python_implementation()} "
        f"{platform.python_version()}. Medians, with their range in parentheses. Rates (req/s), latencies under load "
        "(p50) and processor time for each request (CPU) are ratios to bare in the same round, whose own median stands "
        "in the first line. `–`: not offered, or failed (see below).",
        "",
        *(f"- {target.name} {target.environment.version()}" + (f" ({target.note})" if target.note else "")
          for target in targets),
    ]  # fmt: skip
    return "\n".join([*head, *(line for work in works for line in _section(work, figures, targets)), ""])


def write(file: Path, content: str) -> None:
    """Put the tables between the marks of a page, or at its end."""
    text = file.read_text() if file.exists() else "# Performance\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{content}\n{END}\n{after.lstrip()}")


def _section(work: str, figures: Sequence[Figure], targets: Sequence[Target]) -> list[str]:
    own = [figure for figure in figures if figure.work == work and figure.metric not in HIDDEN]
    columns = list(dict.fromkeys((figure.case, figure.metric) for figure in own if not math.isnan(figure.value)))
    lines = ["", f"### {TITLES[work]}", "", "| | " + " | ".join(f"{case}: {metric}" for case, metric in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for target in targets:
        cells = [_cell([f for f in own if (f.case, f.metric) == column], target.name) for column in columns]
        lines.append(f"| {target.name} | " + " | ".join(cells) + " |")
    reasons = {f"- {f.target}, {f.case}: {f.reason}" for f in own if f.reason and f.reason != "not offered"}
    return [*lines, *([""] if reasons else []), *sorted(reasons)]


def _cell(figures: Sequence[Figure], name: str) -> str:
    """Median and range of one target."""
    base = {figure.round: figure.value for figure in figures if figure.target == "bare"}
    relative = bool(figures) and figures[0].metric in RELATIVE and base
    if relative and name == "bare":
        return f"1 ({_short(statistics.median(base.values()))})"
    values = [
        figure.value / base[figure.round] if relative else figure.value
        for figure in figures
        if figure.target == name and not math.isnan(figure.value) and (not relative or figure.round in base)
    ]
    if not values:
        return "–"
    middle = _short(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_short(min(values))}–{_short(max(values))})"


def _short(value: float) -> str:
    """A number with two or three figures that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 10 else f"{value:.2g}"
