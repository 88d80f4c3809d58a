"""``deepaas-core log``: what a running server has predicted, what that comes down to, what would have been right."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.server import Refused, Server, in_path, talk, value
from deepaas_core.cli.terminal import Terminal, harmless
from deepaas_core.errors import SettingsError

FILTERS = ("endpoint", "generation", "status", "since", "until", "request")
LOOK_EVERY_S = 1.0
LABELS_AT_ONCE = 10_000
_SHOWN = 60
#: A confusion matrix of more classes is for `--json` and for the picture in the browser.
MOST_COLUMNS = 8


def show(given: argparse.Namespace) -> int:
    """List entries, newest first; or save all of them in a file; or go on with what comes."""
    asked = _filters(given, {"service": given.name, "limit": given.limit})
    files = {form: path for form in ("csv", "parquet") if (path := getattr(given, form)) is not None}
    if len(files) + given.follow > 1:
        raise SettingsError("--csv, --parquet and --follow do not go together.")

    async def ask(server: Server) -> int:
        for form, path in files.items():
            await server.save(f"/predictions?{_query({**asked, 'format': form})}", Path(path))
            return Exit.OK
        if given.follow:
            return await _follow(server, asked, given.json)
        listed = await server.ask("GET", "/predictions", params=asked)
        if given.json:
            print(json.dumps(listed))
        else:
            _print_entries(listed["predictions"])
        return Exit.OK

    return talk(given, ask)


def _filters(given: argparse.Namespace, more: dict[str, str | None]) -> dict[str, str]:
    asked = {name: getattr(given, name, None) for name in FILTERS} | more
    return {name: text for name, text in asked.items() if text is not None}


def _query(asked: dict[str, str]) -> str:
    return "&".join(f"{name}={in_path(text)}" for name, text in asked.items())


async def _follow(server: Server, asked: dict[str, str], as_json: bool) -> int:
    """Print entries as they come, oldest first, until somebody presses Ctrl-C."""
    asked = {**asked, "limit": "1000"}
    seen: set[str] = set()
    listed = await server.ask("GET", "/predictions", params={**asked, "limit": "10"})
    while True:
        new = [entry for entry in reversed(listed["predictions"]) if entry["id"] not in seen]
        for entry in new:
            print(json.dumps(entry) if as_json else _line(entry), flush=True)
        seen = {entry["id"] for entry in listed["predictions"]} or seen
        await asyncio.sleep(LOOK_EVERY_S)
        since = listed["predictions"][0]["at"] if listed["predictions"] else None
        listed = await server.ask("GET", "/predictions", params=asked | ({"since": since} if since else {}))


def _line(entry: dict[str, Any]) -> str:
    told = (entry["at"], entry["service"], entry["endpoint"], entry["generation"] or "-", str(entry["status"]))
    return harmless("  ".join((*told, f"{1000 * entry['duration_s']:.1f}ms", _shown(entry), _request(entry))))


def _request(entry: dict[str, Any]) -> str:
    return str(entry["request"]) + (f" [{entry['row']}]" if entry["row"] is not None else "")


def _print_entries(entries: Sequence[dict[str, Any]]) -> None:
    terminal = Terminal(highlight=False)
    if not entries:
        print("There is no such entry. What is logged is said by prediction_log.* of the server's settings.")
        return
    if not terminal.is_terminal:
        print("\n".join(map(_line, entries)))
        return
    table = Table("time", "name", "endpoint", "version", "status", "ms", "prediction", "label", "request", box=None)
    for entry in entries:
        label = "" if entry["label"] is None else str(entry["label"])
        told = (entry["at"][:19].replace("T", " "), entry["service"], entry["endpoint"], entry["generation"] or "")
        figures = (str(entry["status"]), f"{1000 * entry['duration_s']:.1f}")
        texts = (*told, *figures, _shown(entry), label, _request(entry))
        table.add_row(*(escape(harmless(text)) for text in texts))
    terminal.print(table)


def _shown(entry: dict[str, Any]) -> str:
    """What was predicted, in short."""
    prediction = entry["prediction"]
    told = prediction["category"] if prediction["category"] is not None else prediction["number"]
    if told is None:
        told = entry["error"] or json.dumps(entry["output"])
    text = str(told)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def statistics(given: argparse.Namespace) -> int:
    """What the predictions of a model or a service come down to."""
    asked = _filters(given, {"request": None})

    async def ask(server: Server) -> int:
        seen = await _statistics(server, given.name, asked)
        if given.json:
            print(json.dumps(seen))
        else:
            _print_statistics(seen)
        return Exit.OK

    return talk(given, ask)


async def _statistics(server: Server, name: str, asked: dict[str, str]) -> dict[str, Any]:
    try:
        return await server.ask("GET", f"/models/{in_path(name)}/statistics", params=asked)
    except Refused as refused:
        if refused.status != 404:
            raise
        return await server.ask("GET", f"/services/{in_path(name)}/statistics", params=asked)


def _print_statistics(seen: dict[str, Any]) -> None:
    terminal = Terminal(highlight=False)
    if not seen["total"]:
        print("Nothing has been logged.")
        return
    print(f"{seen['total']} predictions, {seen['errors']} errors, {seen['first']} to {seen['last']}")
    table = Table("version", "share", "predictions", "errors", "p50 ms", "p99 ms", "accuracy", "AUC", "MAE", box=None)
    for name, one in seen["generations"].items():
        latency, quality = one["latency_s"] or {}, one["labels"]
        classes, numbers = quality["classification"] or {}, quality["regression"] or {}
        times = [_figure(latency.get(mark), 1000) for mark in ("p50", "p99")]
        marks = [_figure(classes.get("accuracy")), _figure(classes.get("auc")), _figure(numbers.get("mae"))]
        figures = (f"{100 * one['share']:.1f} %", str(one["total"]), str(one["errors"]), *times, *marks)
        table.add_row(escape(harmless(name)), *figures)
    terminal.print(table)
    classes = seen["predictions"]["classes"]
    if classes:
        told = Table("class", "predictions", box=None)
        for name, one in classes.items():
            told.add_row(escape(harmless(name)), str(one["total"]))
        terminal.print(told)
    for name, one in seen["generations"].items():
        compared = one["labels"]["classification"]
        if compared and len(compared["classes"]) <= MOST_COLUMNS:
            terminal.print(_confusion(name, compared))


def _confusion(version: str, seen: dict[str, Any]) -> Table:
    """What was predicted for what would have been right, a line for each class."""
    classes = [harmless(name) for name in seen["classes"]]
    table = Table(escape(harmless(version)), *(escape(f"predicted {name}") for name in classes), box=None)
    for name, counts in zip(classes, seen["confusion"], strict=True):
        table.add_row(escape(f"is {name}"), *map(str, counts))
    return table


def _figure(number: float | None, times: float = 1.0) -> str:
    return "" if number is None else f"{number * times:.4g}"


def label(given: argparse.Namespace) -> int:
    """Send what would have been right, from a CSV file."""
    labels = _read(Path(given.file))

    async def ask(server: Server) -> int:
        told = {"labelled": 0, "unknown": 0}
        for start in range(0, len(labels), LABELS_AT_ONCE):
            some = labels[start : start + LABELS_AT_ONCE]
            answer = await server.ask("POST", "/predictions/labels", json=some)
            told = {name: number + answer[name] for name, number in told.items()}
        print(json.dumps(told) if given.json else f"{told['labelled']} labelled, {told['unknown']} not in the log")
        return Exit.OK

    return talk(given, ask)


def _read(path: Path) -> Sequence[dict[str, Any]]:
    """The labels in a file.

    Raises:
        SettingsError: It cannot be read, or has not the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"request", "label"} <= set(reader.fieldnames or ()):
                raise SettingsError(f"{path} must have the columns request and label, and may have row.")
            return [_label(line, f"{path}, line {reader.line_num}") for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _label(line: dict[str, str], where: str) -> dict[str, Any]:
    row, told = line.get("row") or None, value(line["label"] or "")
    if row is not None and not (row.isascii() and row.isdigit()):
        raise SettingsError(f"{where}: row must be a whole number.")
    scalar = told if isinstance(told, int | float) else line["label"]
    return {"request": line["request"], "label": scalar, **({} if row is None else {"row": int(row)})}
