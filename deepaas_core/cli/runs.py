"""``deepaas-core runs``: list the training runs of a running server, and all that can be done with one."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from rich.console import Group, RenderableType
from rich.live import Live

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.following import exit_code, finish, follow
from deepaas_core.cli.server import Server, call_arguments, in_path, is_away, talk
from deepaas_core.cli.showing import OVER, comparison, print_run, runs_plain, runs_table
from deepaas_core.cli.terminal import Terminal, harmless, harmless_log
from deepaas_core.errors import SettingsError

LOOK_EVERY_S = 1.0
#: Lines of a terminal that a table of runs leaves to what is around it.
ROOM = 6


def show(given: argparse.Namespace) -> int:
    """List runs, live on a terminal as long as one of them goes on; or look at one."""
    filters = {name: value for name in ("model", "state", "limit") if (value := getattr(given, name)) is not None}
    if given.id is not None and filters:
        raise SettingsError("--model, --state and --limit are for the list, not for one run.")

    async def ask(server: Server) -> int:
        if given.id is not None:
            _print_run(await server.ask("GET", await _path(server, given.id)), given.json)
        elif given.json:
            print(json.dumps(await server.ask("GET", "/runs", params=filters)))
        elif (terminal := Terminal(highlight=False)).is_terminal:
            await _watch(server, filters, terminal, given.once)
        else:
            print(runs_plain((await server.ask("GET", "/runs", params=filters))["runs"]))
        return Exit.OK

    return talk(given, ask)


async def _watch(server: Server, filters: dict[str, str], terminal: Terminal, once: bool) -> None:
    """Show the runs until the last of them is over; Ctrl-C only ends the watching."""
    asked = {"limit": str(max(1, min(50, terminal.height - ROOM))), **filters}
    listed = await server.ask("GET", "/runs", params=asked)
    if once or all(run["state"] in OVER for run in listed["runs"]):
        terminal.print(_listed(listed, terminal.width))
        return
    with Live(console=terminal, auto_refresh=False) as live, suppress(asyncio.CancelledError):
        note = ""
        while True:
            live.update(_listed(listed, terminal.width, note), refresh=True)
            if all(run["state"] in OVER for run in listed["runs"]):
                return
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                listed, note = await server.ask("GET", "/runs", params=asked), ""
            except Exception as error:
                if not is_away(error):
                    raise
                note = note or f"The server has not answered since {datetime.now():%H:%M:%S}; trying again."


def _listed(listed: dict[str, Any], width: int, note: str = "") -> RenderableType:
    if not listed["runs"]:
        return "There is no such run. One is started by: deepaas-core train MODEL"
    more = "[dim]There are older ones: --limit, --model and --state choose.[/]" if listed["next"] else ""
    below = [f"[yellow]{note}[/]" if note else more] if note or more else []
    return Group(runs_table(listed["runs"], width), *below)


def log(given: argparse.Namespace) -> int:
    """Print what a run has printed, and go on with that if asked to."""

    async def ask(server: Server) -> int:
        run = await server.ask("GET", await _path(server, given.id))
        if given.follow:
            return exit_code(await follow(server, run), followed=True)
        offset = 0
        for_people = sys.stdout.isatty()
        while content := await server.read_log(run["id"], offset):
            offset += len(content)
            if for_people:
                sys.stdout.write(harmless_log(content.decode("utf-8", "replace")))
            else:
                sys.stdout.buffer.write(content)
        return Exit.OK

    return talk(given, ask)


def cancel(given: argparse.Namespace) -> int:
    """End runs; their processes are gone when this returns."""

    async def ask(server: Server) -> int:
        for text in given.ids:
            _print_run(await server.ask("POST", f"{await _path(server, text)}/cancel"), given.json)
        return Exit.OK

    return talk(given, ask)


def delete(given: argparse.Namespace) -> int:
    """Delete runs that are over, with everything they left."""

    async def ask(server: Server) -> int:
        for text in given.ids:
            path = await _path(server, text)
            await server.ask_for_any("DELETE", path, params={"purge": "true"})
            if not given.json:
                print(f"{path.rpartition('/')[2]}  deleted")
        return Exit.OK

    return talk(given, ask)


def retry(given: argparse.Namespace) -> int:
    """Start a run like an earlier one."""
    body = {"arguments": call_arguments(given.arg), "resume": given.resume}
    headers = {} if given.promote_if is None else {"X-Promote-If": given.promote_if}

    async def ask(server: Server) -> int:
        path = await _path(server, given.id)
        return await finish(server, await server.ask("POST", f"{path}/retry", json=body, headers=headers), given)

    return talk(given, ask)


def compare(given: argparse.Namespace) -> int:
    """Put arguments and final metrics of runs side by side."""

    async def ask(server: Server) -> int:
        asked = {"ids": ",".join([await server.find_run(text) for text in given.ids])}
        if given.csv:
            table = await server.ask_for_any("GET", "/runs/compare", params={**asked, "format": "csv"})
            assert isinstance(table, bytes)
            sys.stdout.buffer.write(table)
            return Exit.OK
        compared = await server.ask("GET", "/runs/compare", params=asked)
        if given.json:
            print(json.dumps(compared))
        else:
            Terminal(highlight=False).print(comparison(compared))
        return Exit.OK

    return talk(given, ask)


def serve(given: argparse.Namespace) -> int:
    """Serve the model of an earlier run."""

    async def ask(server: Server) -> int:
        run = await server.ask("GET", await _path(server, given.id))
        body = {"run": run["id"]}
        served = await server.ask("POST", f"/models/{in_path(run['model'])}/serve", json=body)
        print(json.dumps(served) if given.json else f"{run['model']} is served by the model of run {run['id']}.")
        return Exit.OK

    return talk(given, ask)


def files(given: argparse.Namespace) -> int:
    """List the files that a run keeps, or save one."""

    async def ask(server: Server) -> int:
        path = f"{await _path(server, given.id)}/artifacts"
        if given.name is None:
            listed = await server.ask("GET", path)
            if given.json:
                print(json.dumps(listed))
            else:
                for kept in listed["artifacts"]:
                    print(f"{kept['bytes']:>12}  {harmless(kept['name'])}")
            return Exit.OK
        target = Path(given.to or PurePosixPath(given.name).name)
        await server.save(f"{path}/{quote(given.name)}", target)
        if not given.json:
            print(f"{target}  {target.stat().st_size} bytes")
        return Exit.OK

    return talk(given, ask)


async def _path(server: Server, text: str) -> str:
    return f"/runs/{await server.find_run(text)}"


def _print_run(run: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(run))
    else:
        print_run(Terminal(highlight=False), run)
