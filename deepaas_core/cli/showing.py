"""Training runs for people: a card for one, tables for several, a line with a bar for one that goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deepaas_core.cli.terminal import harmless

WITHOUT_SUCCESS = ("failed", "cancelled", "interrupted")
OVER = ("succeeded", *WITHOUT_SUCCESS)
COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "interrupted": "red", "running": "cyan"}
#: What curves are drawn over says little by itself.
_AXES = frozenset({"step", "epoch", "iteration", "batch"})
_WIDE = 110
_NAME_WIDTH = 14


def short(run: Mapping[str, Any]) -> str:
    """As much of a run's id as people need."""
    return str(run["id"][:8])


def print_run(console: Console, run: dict[str, Any], with_traceback: bool = True) -> None:
    """One run with all that is known of it; its log has the traceback as well."""
    console.print(f"[bold]{run['id']}[/]  {escape(run['model'])} ", _state(run))
    grid = Table.grid(padding=(0, 2))
    for name, text in _facts(run):
        if console.is_terminal:
            grid.add_row(f"  {name}", escape(harmless(text)))
        else:  # nothing is folded that a program may want to read
            console.print(f"  {name:<{_NAME_WIDTH}}{escape(harmless(text))}", soft_wrap=True)
    if console.is_terminal:
        console.print(grid)
    if run["error"]:
        error = run["error"]
        told = (with_traceback and error["traceback"]) or f"{error['kind']}: {error['message']}"
        console.print(Text(harmless(told).rstrip(), style="red"), soft_wrap=True)


def _facts(run: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("progress", _progress(run))]
    facts += [(name, run[name]) for name in ("created_at", "started_at", "finished_at")]
    facts.append(("duration", None if run["duration_s"] is None else duration(run["duration_s"])))
    facts.append(("retry of", run["retry_of"]))
    facts.append(("arguments", _plain(run["arguments"])))
    facts.append(("metrics", metrics(run["metrics"], all_of_them=True)))
    if run["promote_if"]:
        met = {None: "", True: "  (met)", False: "  (not met: the model before is served on)"}[run["promote_if"]["met"]]
        facts.append(("promote if", run["promote_if"]["condition"] + met))
    facts.append(("result", None if run["result"] is None else _plain(run["result"])))
    return [(name.replace("_at", ""), text) for name, text in facts if text]


def runs_table(runs: Sequence[dict[str, Any]], width: int) -> Table:
    """Runs for a terminal of some width, one a line whatever the width."""
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("run", no_wrap=True, style="bold", width=8)
    table.add_column("model", no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column("state", no_wrap=True, min_width=10)
    table.add_column("progress", no_wrap=True, width=16)
    table.add_column("time", no_wrap=True, justify="right", min_width=5)
    table.add_column("metrics", no_wrap=True, overflow="ellipsis", ratio=1)
    if width >= _WIDE:
        table.add_column("arguments", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("created (UTC)", no_wrap=True, width=19)
    for run in runs:
        cells: list[RenderableType] = [short(run), escape(run["model"]), _state(run), _bar(run), _took(run)]
        cells.append(escape(harmless(metrics(run["metrics"]))))
        if width >= _WIDE:
            arguments = " ".join(f"{name}={_plain(value)}" for name, value in run["arguments"].items())
            cells += [escape(harmless(arguments)), run["created_at"][:19].replace("T", " ")]
        table.add_row(*cells)
    return table


def runs_plain(runs: Sequence[dict[str, Any]]) -> str:
    """Runs for a pipe or a file: one a line, in columns, nothing cut off."""
    rows = [["run", "model", "state", "progress", "seconds", "created", "metrics", "arguments"]]
    for run in runs:
        progress = run["progress"] or {}
        fraction = progress.get("fraction")
        rows.append(
            [
                run["id"],
                run["model"],
                run["state"],
                "-" if fraction is None else f"{fraction:.0%}",
                "-" if run["duration_s"] is None else f"{run['duration_s']:.1f}",
                run["created_at"],
                harmless(metrics(run["metrics"], all_of_them=True)).replace("\n", " ") or "-",
                json.dumps(run["arguments"]),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def comparison(compared: dict[str, Any]) -> Table:
    """Arguments that differ, and final metrics, of runs, which are lines or columns, whichever is narrower."""
    runs, differing = compared["runs"], compared["differing"]
    measured = list(dict.fromkeys(name for run in runs for name in run["metrics"] if name not in _AXES))
    rows = [["run", *map(short, runs)], ["state", *(run["state"] for run in runs)]]
    rows += [[name, *(_plain(run["arguments"].get(name)) for run in runs)] for name in differing]
    rows += [[name, *(_number(run["metrics"].get(name, "")) for run in runs)] for name in measured]
    if len(rows) <= len(runs) + 1:
        rows = [list(row) for row in zip(*rows, strict=True)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in rows[0]:
        table.add_column(escape(harmless(name)))
    for row in rows[1:]:
        table.add_row(*(escape(harmless(text)) for text in row))
    return table


def progress_line(run: dict[str, Any], away: bool) -> RenderableType:
    """How a run is that goes on, in one line: a bar, the time it took and will take, its last metrics."""
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    told = (
        "[yellow]the server does not answer; the run goes on[/]" if away else escape(harmless(metrics(run["metrics"])))
    )
    grid.add_row(f"[bold]{short(run)}[/]", _state(run), _bar(run), _took(run) + _left(run), told)
    return grid


def _state(run: dict[str, Any]) -> RenderableType:
    place = f" #{run['queue_position']}" if run.get("queue_position") else ""
    return Text(run["state"] + place, style=COLOURS.get(run["state"], ""))


def _progress(run: dict[str, Any]) -> str | None:
    progress = run["progress"]
    if progress is None or progress["fraction"] is None:
        return None
    return f"{progress['done']:g} of {progress['total']:g} ({progress['fraction']:.0%})"


def _bar(run: dict[str, Any]) -> RenderableType:
    fraction = (run["progress"] or {}).get("fraction")
    if fraction is None:
        return ""
    grid = Table.grid(padding=(0, 1, 0, 0))
    colour = COLOURS.get(run["state"], "white")
    bar = ProgressBar(total=1, completed=fraction, width=11, complete_style=colour, finished_style=colour)
    grid.add_row(bar, f"{fraction:4.0%}")
    return grid


def _took(run: dict[str, Any]) -> str:
    seconds = _seconds(run)
    return "" if seconds is None else duration(seconds)


def _seconds(run: dict[str, Any]) -> float | None:
    if run["duration_s"] is not None:
        return float(run["duration_s"])
    if run["started_at"] is None:
        return None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(run["started_at"])).total_seconds())


def _left(run: dict[str, Any]) -> str:
    seconds, fraction = _seconds(run), (run["progress"] or {}).get("fraction")
    if run["state"] != "running" or not seconds or not fraction:
        return ""
    return f" [dim]{duration(seconds / fraction - seconds)} left[/]"


def duration(seconds: float) -> str:
    """Seconds as people write them: ``0.42 s``, ``9.5 s``, ``3:05``, ``1:02:03``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def metrics(values: Mapping[str, Any], all_of_them: bool = False) -> str:
    """The last value of each metric, in one line."""
    shown = {name: value for name, value in values.items() if all_of_them or name not in _AXES}
    return "  ".join(f"{name} {_number(value)}" for name, value in shown.items())


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else " ".join(_plain(value).split())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
