"""``deepaas-core predict``, ``train`` and ``runs``: a client of a running server."""

from __future__ import annotations

import argparse
import asyncio
import json
import mimetypes
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deepaas_core.errors import SettingsError

FAILED, UNREACHABLE, NOT_FOUND = 1, 3, 4
POLL_S = 0.3
_OVER = ("succeeded", "failed", "cancelled", "interrupted")
_COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "interrupted": "red", "running": "cyan"}


class Refused(Exception):
    """The server's answer was a problem document."""

    def __init__(self, problem: dict[str, Any]):
        super().__init__(problem)
        self.problem = problem


class Server:
    """A running server, as the native API shows it."""

    def __init__(self, session: aiohttp.ClientSession, url: str):
        self._session = session
        self._base = url.rstrip("/") + "/api/v1"

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Make one request and give its JSON.

        Raises:
            Refused: The answer is an error.
        """
        async with self._session.request(method, self._base + path, **options) as response:
            is_json = response.content_type.endswith("json")
            document = await response.json(content_type=None) if is_json else await response.read()
            if response.status >= 400:
                raise Refused(document if isinstance(document, dict) else {"title": response.reason})
            return document

    async def read_log(self, run: str, start: int = 0) -> tuple[bytes, int]:
        """A run's log from an offset on, and where the next piece begins."""
        headers = {"Range": f"bytes={start}-"}
        async with self._session.get(f"{self._base}/runs/{quote(run)}/log", headers=headers) as response:
            if response.status == 416:
                return b"", start
            content = await response.read()
            if response.status >= 400:
                raise Refused(json.loads(content))
            if response.status == 200:
                content = content[start:]
            return content, start + len(content)


def predict(given: argparse.Namespace) -> int:
    """Ask a model."""
    path = f"/models/{quote(given.name, safe='')}/predict"
    arguments = _arguments(given.arg)

    async def ask(server: Server) -> int:
        if given.file is not None:
            answer = await _upload(server, f"{path}/file", Path(given.file), arguments)
        elif given.url is not None:
            answer = await server.ask("POST", f"{path}/url", json={"url": given.url, **arguments})
        elif given.data is not None:
            answer = await server.ask("POST", f"{path}/data", json={"data": _value(given.data), **arguments})
        else:
            answer = await server.ask("POST", path, json=arguments)
        _print_answer(answer, given.json)
        return 0

    return _run(given, ask)


def train(given: argparse.Namespace) -> int:
    """Start a run, and follow it if asked to."""
    arguments = _arguments(given.arg)

    async def ask(server: Server) -> int:
        run = await server.ask("POST", f"/models/{quote(given.name, safe='')}/train", json=arguments)
        if given.follow:
            run = await _follow(server, run, quiet=given.json)
        _print_run(run, given.json)
        return FAILED if run["state"] in ("failed", "interrupted") else 0

    return _run(given, ask)


def runs(given: argparse.Namespace) -> int:
    """List runs, or look at one, print its log, or cancel it."""

    async def ask(server: Server) -> int:
        if given.id is None:
            wanted = {name: value for name in ("model", "state") if (value := getattr(given, name))}
            listed = await server.ask("GET", "/runs", params=wanted)
            _print_runs(listed, given.json)
        elif given.log:
            content, _ = await server.read_log(given.id)
            sys.stdout.write(content.decode(errors="replace"))
        elif given.cancel:
            _print_run(await server.ask("DELETE", f"/runs/{quote(given.id, safe='')}"), given.json)
        else:
            _print_run(await server.ask("GET", f"/runs/{quote(given.id, safe='')}"), given.json)
        return 0

    return _run(given, ask)


def _run(given: argparse.Namespace, ask: Callable[[Server], Awaitable[int]]) -> int:
    async def main() -> int:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return await ask(Server(session, given.server))

    try:
        return asyncio.run(main())
    except Refused as refused:
        return _complain(refused.problem, given.json)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        print(f"deepaas-core: no server answers at {given.server}: {error}", file=sys.stderr)
        return UNREACHABLE


async def _upload(server: Server, path: str, file: Path, arguments: dict[str, Any]) -> Any:
    form = aiohttp.FormData()
    for name, value in arguments.items():
        form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    try:
        content = file.open("rb")
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    form.add_field("data", content, filename=file.name, content_type=media_type)
    return await server.ask("POST", path, data=form)


async def _follow(server: Server, run: dict[str, Any], quiet: bool) -> dict[str, Any]:
    """Print a run's log as it grows, until the run is over; Ctrl-C only ends the following."""
    offset = 0
    with suppress(asyncio.CancelledError):
        while True:
            over = run["state"] in _OVER
            content, offset = await server.read_log(run["id"], offset)
            if content and not quiet:
                sys.stdout.write(content.decode(errors="replace"))
                sys.stdout.flush()
            if over and not content:
                break
            await asyncio.sleep(0 if over else POLL_S)
            run = await server.ask("GET", f"/runs/{run['id']}")
    return run


def _arguments(pairs: list[str]) -> dict[str, Any]:
    arguments = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(f"--arg must be NAME=VALUE, not {pair!r}.")
        arguments[name] = _value(value)
    return arguments


def _value(text: str) -> Any:
    """JSON where the text is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _print_answer(answer: Any, as_json: bool) -> None:
    if isinstance(answer, bytes):
        sys.stdout.buffer.write(answer)
    elif as_json:
        print(json.dumps(answer))
    else:
        Console().print_json(json.dumps(answer.get("prediction", answer)))


def _print_run(run: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(run))
        return
    console = Console(highlight=False)
    colour = _COLOURS.get(run["state"], "white")
    console.print(f"[bold]{run['id']}[/]  {escape(run['model'])}  [{colour}]{run['state']}[/]")
    console.print(f"  arguments   {escape(json.dumps(run['arguments']))}", soft_wrap=True)
    for name in ("created_at", "started_at", "finished_at", "duration_s"):
        if run.get(name) is not None:
            console.print(f"  {name:<12}{run[name]}")
    if run.get("result") is not None:
        console.print(f"  result      {escape(json.dumps(run['result']))}", soft_wrap=True)
    if run.get("error"):
        console.print(f"  [red]{escape(run['error']['kind'])}[/]: {escape(run['error']['message'])}", soft_wrap=True)


def _print_runs(listed: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(listed))
        return
    table = Table("run", "model", "state", "created", "seconds", "arguments")
    for run in listed["runs"]:
        colour = _COLOURS.get(run["state"], "white")
        duration = "" if run.get("duration_s") is None else f"{run['duration_s']:.1f}"
        table.add_row(
            run["id"],
            escape(run["model"]),
            f"[{colour}]{run['state']}[/]",
            run["created_at"][:19],
            duration,
            escape(json.dumps(run["arguments"])),
        )
    Console().print(table)


def _complain(problem: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print(json.dumps(problem))
    else:
        print(f"deepaas-core: {problem.get('detail') or problem.get('title')}", file=sys.stderr)
        for item in problem.get("errors", ()):
            print(f"  {item['pointer'] or '(input)'}: {item['detail']}", file=sys.stderr)
    return NOT_FOUND if problem.get("status") == 404 else FAILED
