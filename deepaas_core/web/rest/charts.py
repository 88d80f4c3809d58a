"""Statistics as pictures, in the manner of learning curves: SVG for light and dark pages, without any script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from deepaas_core.web.rest.curve import LEFT, MAX_LINES, PANEL, RIGHT, STYLE, TOP, WIDTH, Scale, as_xml

_FILLS = "".join(
    f".b{number}{{fill:{colour}}}"
    for number, colour in enumerate(
        ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#dc2626")
    )
)
_MAX_SHOWN = 24
#: How wide a character below the bars is, at most on average.
_CHARACTER = 6.6
_CELL_MAX, _MATRIX_LEFT = 64, 140
Series = Mapping[str, Sequence[float]]


def bars(title: str, places: Sequence[str], series: Series, unit: str = "") -> str:
    """Bars beside each other, for each place one of every series.

    Args:
        title: What stands on top.
        places: What stands below; only some are written where there is no room for all.
        series: The heights at the places, not negative; without any, the picture says so.
        unit: What heights are counted in.
    """
    drawn = dict(list(series.items())[:MAX_LINES])
    parts = _begin(title, TOP + PANEL + 24)
    if not places or not any(any(heights) for heights in drawn.values()):
        return _end([*parts, _said("Nothing has been logged yet.")])
    bottom = TOP + PANEL - 28
    up = Scale([0.0, max(max(heights) for heights in drawn.values())], bottom, TOP + 24)
    for value in up.ticks():
        parts.append(f'<path class="grid" d="M{LEFT} {up(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_label(LEFT - 8, up(value) + 4, f"{value:g}", "end"))
    room = (WIDTH - RIGHT - LEFT) / len(places)
    width = room * 0.84 / len(drawn)
    for number, (name, heights) in enumerate(drawn.items()):
        for at, height in enumerate(heights):
            x, y = LEFT + at * room + room * 0.08 + number * width, up(height)
            told = as_xml(f"{places[at]} · {name}: {height:g} {unit}".strip())
            parts.append(
                f'<rect class="b{number}" x="{x:.1f}" y="{y:.1f}" width="{max(width - 1, 0.5):.1f}"'
                f' height="{bottom - y:.1f}"><title>{told}</title></rect>'
            )
    written = [_short(place, 16) for place in places]
    every = max(1, math.ceil((max(map(len, written)) * _CHARACTER + 10) / room))
    for at in range(0, len(places), every):
        parts.append(_label(LEFT + (at + 0.5) * room, bottom + 16, written[at]))
    return _end([*parts, *_legend(drawn, unit)])


def matrix(title: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A confusion matrix: a row for each right class, a column for each predicted one, darker for more.

    Args:
        title: What stands on top.
        classes: Names of rows and columns.
        counts: By row and column.
    """
    if not classes:
        return _end([*_begin(title, TOP + 80), _said("No labels have been sent yet.")])
    number = min(len(classes), _MAX_SHOWN)
    cell = min(_CELL_MAX, (WIDTH - RIGHT - _MATRIX_LEFT) / number)
    top = TOP + 28
    parts = _begin(title, top + number * cell + 48)
    for row in range(number):
        most = max(1, sum(counts[row]))
        y = top + row * cell
        parts.append(_label(_MATRIX_LEFT - 8, y + cell / 2 + 4, _short(classes[row], 18), "end"))
        parts.append(_label(_MATRIX_LEFT + (row + 0.5) * cell, top - 8, _short(classes[row], max(2, int(cell / 7)))))
        for column in range(number):
            count, x = counts[row][column], _MATRIX_LEFT + column * cell
            told = as_xml(f"{classes[row]} taken for {classes[column]}: {count}")
            colour = 0 if row == column else 7
            parts.append(
                f'<rect class="b{colour}" opacity="{0.06 + 0.74 * count / most:.2f}" x="{x:.1f}" y="{y:.1f}"'
                f' width="{cell - 2:.1f}" height="{cell - 2:.1f}"><title>{told}</title></rect>'
            )
            if cell >= 26:
                parts.append(_label(x + cell / 2 - 1, y + cell / 2 + 4, str(count), kind="title"))
    parts.append(_label(_MATRIX_LEFT, top + number * cell + 18, "across: predicted · down: right", "start"))
    if number < len(classes):
        parts.append(_label(WIDTH - RIGHT, 24, f"the first {number} of {len(classes)} classes", "end"))
    return _end(parts)


def _begin(title: str, height: float) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
        f' height="{height:.0f}" role="img"><title>{as_xml(title)}</title><style>{STYLE}{_FILLS}</style>',
        f'<rect class="ground" width="{WIDTH}" height="{height:.0f}"/>',
        f'<text class="title" x="16" y="24" font-size="15">{as_xml(_short(title, 80))}</text>',
    ]


def _end(parts: Sequence[str]) -> str:
    return "\n".join([*parts, "</svg>"])


def _said(text: str) -> str:
    return f'<text class="text" x="16" y="{TOP + 24}">{as_xml(text)}</text>'


def _legend(series: Series, unit: str) -> Sequence[str]:
    parts, x = [], float(LEFT)
    for number, name in enumerate(series):
        text = _short(name, 24)
        parts.append(f'<rect class="b{number}" x="{x:.0f}" y="{TOP + 2}" width="12" height="10"/>')
        parts.append(_label(x + 18, TOP + 11, text, "start", "title"))
        x += 34 + 7.2 * len(text)
    return [*parts, _label(WIDTH - RIGHT, TOP + 11, unit, "end")]


def _label(x: float, y: float, text: str, anchor: str = "middle", kind: str = "text") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{as_xml(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
