"""Learning curves as a picture: SVG that fits light and dark pages, with no script and no outside parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, PANEL, GAP = 720, 220, 28
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 28
MAX_PANELS, MAX_LINES = 12, 8
STYLE = """
svg{font:12px system-ui,sans-serif;background:#fff}
.ground{fill:#fff}.text{fill:#454d5b}.title{fill:#1b2230;font-weight:600}
.grid{stroke:#e4e7ec}.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.c0{stroke:#2563eb}.c1{stroke:#d97706}.c2{stroke:#059669}.c3{stroke:#db2777}
.c4{stroke:#7c3aed}.c5{stroke:#0891b2}.c6{stroke:#65a30d}.c7{stroke:#dc2626}
@media (prefers-color-scheme:dark){svg{background:#14181f}.ground{fill:#14181f}.text{fill:#a7b0be}
.title{fill:#eef1f6}.grid{stroke:#2a313c}.c0{stroke:#6ea0ff}.c1{stroke:#f6ad55}.c2{stroke:#34d399}
.c3{stroke:#f472b6}.c4{stroke:#a78bfa}.c5{stroke:#22d3ee}.c6{stroke:#a3e635}.c7{stroke:#f87171}}
"""


def draw(title: str, axis: str, lines: Mapping[str, Points]) -> str:
    """Draw each metric over an axis; ``loss`` and ``val_loss`` share a panel.

    Args:
        title: What stands on top.
        axis: What the metrics are drawn over, e.g. ``epoch``.
        lines: The points of each metric; finite numbers.
    """
    panels = _panels(lines)
    height = TOP + max(1, len(panels)) * (PANEL + GAP) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img"><title>{as_xml(title)}</title><style>{STYLE}</style>',
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="24" font-size="15">{as_xml(title)}</text>',
    ]
    if not panels:
        parts.append(f'<text class="text" x="16" y="{TOP + 40}">No numbers have been reported yet.</text>')
    for number, names in enumerate(panels):
        parts += _panel(names, lines, axis, TOP + number * (PANEL + GAP))
    return "\n".join([*parts, "</svg>"])


def chosen(names: Iterable[str]) -> Sequence[str]:
    """Which of these metrics there is room for in one picture."""
    return [name for panel in _panels(names) for name in panel]


def _panels(names: Iterable[str]) -> Sequence[Sequence[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        base = name.removeprefix("val_").removeprefix("train_").removeprefix("test_")
        groups.setdefault(base, []).append(name)
    return [group[:MAX_LINES] for group in list(groups.values())[:MAX_PANELS]]


def _panel(names: Sequence[str], lines: Mapping[str, Points], axis: str, top: float) -> Sequence[str]:
    points = [point for name in names for point in lines[name]]
    across = Scale([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = Scale([y for _, y in points], top + PANEL - BOTTOM, top + 24)
    parts = []
    for value in up.ticks():
        y = up(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="text" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in across.ticks():
        x, y = across(value), top + PANEL - BOTTOM + 16
        parts.append(f'<text class="text" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{value:g}</text>')
    parts.append(
        f'<text class="text" x="{WIDTH - RIGHT}" y="{top + PANEL + 2:.1f}" text-anchor="end">{as_xml(axis)}</text>'
    )
    x = float(LEFT)
    for number, name in enumerate(names):
        shown = name if len(name) <= 40 else name[:39] + "…"
        path = " ".join(f"{across(px):.1f},{up(py):.1f}" for px, py in lines[name])
        parts.append(f'<path class="line c{number}" d="M{x:.0f} {top + 10:.0f}h14"/>')
        parts.append(f'<text class="title" x="{x + 20:.0f}" y="{top + 14:.0f}">{as_xml(shown)}</text>')
        parts.append(f'<polyline class="line c{number}" data-name="{as_xml(name)}" points="{path}"/>')
        if len(lines[name]) == 1:  # a line of one point is invisible
            [(px, py)] = lines[name]
            parts.append(f'<circle class="line c{number}" cx="{across(px):.1f}" cy="{up(py):.1f}" r="3"/>')
        x += 44 + 7.2 * len(shown)
    return parts


class Scale:
    """From values to places, with a little room at both ends where all values are one.

    Args:
        values: What there is room for.
        start, end: The places of the least and of the greatest value.
    """

    def __init__(self, values: Sequence[float], start: float, end: float):
        self._least, self._most = min(values), max(values)
        if self._least == self._most:
            room = abs(self._least) * 0.1 or 1.0
            self._least, self._most = self._least - room, self._most + room
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = value / 2 - self._least / 2, self._most / 2 - self._least / 2  # halves: the range may overflow
        return self._start + (self._end - self._start) * (share[0] / share[1] if share[1] else 0.5)

    def ticks(self) -> Sequence[float]:
        """Round values in between, about five."""
        rough = self._most / 5 - self._least / 5
        if not 0 < rough < math.inf:
            return [self._least, self._most]
        size = 10.0 ** math.floor(math.log10(rough))
        step = next((size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough), rough)
        first = math.ceil(self._least / step)
        places = [(first + number) * step for number in range(8)]
        return [float(f"{place:.12g}") for place in places if place <= self._most]


def as_xml(text: str) -> str:
    """Text as XML can hold it."""
    return escape("".join(letter if letter.isprintable() else "\ufffd" for letter in text))
