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
from urllib.parse import quote, urlsplit

import aiohttp
from rich.markup import escape
from rich.table import Table

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.terminal import Terminal
from deepaas_core.errors import SettingsError

POLL_S = 0.3
_WITHOUT_SUCCESS = ("failed", "cancelled", "interrupted")
_OVER = ("succeeded", *_WITHOUT_SUCCESS)
_COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "interrupted": "red", "running": "cyan"}


class Refused(Exception):
    """The server's answer was a problem document."""

    def __init__(self, status: int, problem: dict[str, Any]):
        super().__init__(status, problem)
        self.status, self.problem = status, problem


class Foreign(Exception):
    """What answers is not a server of ours."""


class Server:
    """A running server, as the native API shows it."""

    def __init__(self, session: aiohttp.ClientSession, url: str):
        self._session = session
        self._base = url.rstrip("/") + "/api/v1"

    async def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Make one request and give its JSON document.

        Raises:
            Refused: The answer is an error.
            Foreign: The answer is none that a server of ours would give.
        """
        document = await self.ask_for_any(method, path, **options)
        if isinstance(document, bytes):
            raise Foreign(f"the answer to {method} {path} is not JSON")
        return document

    async def ask_for_any(self, method: str, path: str, **options: Any) -> dict[str, Any] | bytes:
        """Like ``ask``, but the answer may have any media type; what is not JSON comes as it is."""
        async with self._session.request(method, self._base + path, **options) as response:
            content = await response.read()
            if response.status >= 400:
                raise _refusal(response, content)
            return _document(content) if response.content_type == "application/json" else content

    async def read_log(self, run: str, start: int = 0) -> bytes:
        """A piece of a run's log from an offset on; empty if there is no more at the moment."""
        headers = {"Range": f"bytes={start}-"}
        async with self._session.get(f"{self._base}/runs/{quote(run, safe='')}/log", headers=headers) as response:
            content = await response.read()
            if response.status == 416:
                return b""
            if response.status >= 400:
                raise _refusal(response, content)
            return content if response.status == 206 else content[start:]


def _refusal(response: aiohttp.ClientResponse, content: bytes) -> Refused | Foreign:
    if response.content_type != "application/problem+json":
        return Foreign(f"the answer is {response.status} {response.reason}, and no problem document")
    return Refused(response.status, _document(content))


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise Foreign(f"the answer is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Foreign("the answer is not a JSON object")
    return document


def predict(given: argparse.Namespace) -> int:
    """Ask a model."""
    path = f"/models/{quote(given.name, safe='')}/predict"
    arguments = _arguments(given.arg)

    async def ask(server: Server) -> int:
        if given.file is not None:
            answer = await _upload(server, f"{path}/file", Path(given.file), arguments)
        elif given.url is not None:
            answer = await server.ask_for_any("POST", f"{path}/url", json={"url": given.url, **arguments})
        elif given.data is not None:
            answer = await server.ask_for_any("POST", f"{path}/data", json={"data": _value(given.data), **arguments})
        else:
            answer = await server.ask_for_any("POST", path, json=arguments)
        _print_answer(answer, given.json)
        return Exit.OK

    return _run(given, ask)


def train(given: argparse.Namespace) -> int:
    """Start a run, and follow it if asked to."""
    arguments = _arguments(given.arg)

    async def ask(server: Server) -> int:
        run = await server.ask("POST", f"/models/{quote(given.name, safe='')}/train", json=arguments)
        if given.follow:
            run = await _follow(server, run, quiet=given.json)
        _print_run(run, given.json)
        return Exit.FAILED if run["state"] in _WITHOUT_SUCCESS else Exit.OK

    return _run(given, ask)


def runs(given: argparse.Namespace) -> int:
    """List runs, or look at one, print its log, or cancel it."""
    filters = {name: value for name in ("model", "state", "limit") if (value := getattr(given, name)) is not None}
    if given.id is None and (given.log or given.cancel):
        raise SettingsError("--log and --cancel need the id of a run: deepaas-core runs ID …")
    if given.id is not None and filters:
        raise SettingsError("--model, --state and --limit are for the list, not for one run.")

    async def ask(server: Server) -> int:
        if given.id is None:
            _print_runs(await server.ask("GET", "/runs", params=filters), given.json)
        elif given.log:
            await _print_log(server, given.id)
        elif given.cancel:
            _print_run(await server.ask("DELETE", f"/runs/{quote(given.id, safe='')}"), given.json)
        else:
            _print_run(await server.ask("GET", f"/runs/{quote(given.id, safe='')}"), given.json)
        return Exit.OK

    return _run(given, ask)


def _run(given: argparse.Namespace, ask: Callable[[Server], Awaitable[int]]) -> int:
    _check_address(given.server)

    async def main() -> int:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return await ask(Server(session, given.server))

    try:
        return asyncio.run(main())
    except Refused as refused:
        return _complain(refused, given.json)
    except Foreign as foreign:
        print(f"deepaas-core: {given.server} does not answer like a deepaas-core server: {foreign}.", file=sys.stderr)
    except (aiohttp.ClientError, TimeoutError) as error:
        print(f"deepaas-core: no server answers at {given.server}: {str(error) or 'timeout'}", file=sys.stderr)
    return Exit.UNREACHABLE


def _check_address(server: str) -> None:
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"--server must be an address like http://127.0.0.1:5000, not {server!r}.")


async def _upload(server: Server, path: str, file: Path, arguments: dict[str, Any]) -> dict[str, Any] | bytes:
    form = aiohttp.FormData()
    for name, value in arguments.items():
        form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    try:
        content = file.open("rb")
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    form.add_field("data", content, filename=file.name, content_type=media_type)
    return await server.ask_for_any("POST", path, data=form)


async def _follow(server: Server, run: dict[str, Any], quiet: bool) -> dict[str, Any]:
    """Print a run's log as it grows, until the run is over; Ctrl-C only ends the following."""
    offset = 0
    with suppress(asyncio.CancelledError):
        while True:
            over = run["state"] in _OVER  # what it printed before that is all there by now
            offset = await _print_log(server, run["id"], offset, quiet)
            if over:
                break
            await asyncio.sleep(POLL_S)
            run = await server.ask("GET", f"/runs/{run['id']}")
    return run


async def _print_log(server: Server, run: str, offset: int = 0, quiet: bool = False) -> int:
    """Print what a log has from an offset on, and give the offset of what will come next."""
    while content := b"" if quiet else await server.read_log(run, offset):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        offset += len(content)
    return offset


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
        Terminal().print_json(json.dumps(answer.get("prediction", answer)))


def _print_run(run: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(run))
        return
    console = Terminal(highlight=False)
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
    Terminal().print(table)


def _complain(refused: Refused, as_json: bool) -> int:
    problem = refused.problem
    if as_json:
        print(json.dumps(problem))
    else:
        print(f"deepaas-core: {problem.get('detail') or problem.get('title')}", file=sys.stderr)
        for item in problem.get("errors", ()):
            print(f"  {item['pointer'] or '(input)'}: {item['detail']}", file=sys.stderr)
    return Exit.NOT_FOUND if refused.status == 404 else Exit.FAILED
