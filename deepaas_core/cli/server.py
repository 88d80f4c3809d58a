"""A running server, as the commands see it; and what they say when it refuses, or is not there."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from deepaas_core.cli.exits import Exit
from deepaas_core.errors import SettingsError

#: Nobody has more runs than this that he would tell apart by the beginnings of their ids.
LOOKED_THROUGH = 500
#: The environment variable that has the caller's token.
TOKEN_VARIABLE = "DEEPAAS_CORE_TOKEN"
_UNAVAILABLE = 503
_ID = re.compile(r"[0-9a-f]{1,32}", re.ASCII)


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
        async with self._session.get(f"{self._base}/runs/{run}/log", headers=headers) as response:
            content = await response.read()
            if response.status == 416:
                return b""
            if response.status >= 400:
                raise _refusal(response, content)
            return content if response.status == 206 else content[start:]

    async def download(self, path: str, write: Callable[[bytes], object]) -> None:
        """Hand over what an address has, piece by piece."""
        async with self._session.get(self._base + path) as response:
            if response.status >= 400:
                raise _refusal(response, await response.read())
            async for piece in response.content.iter_any():
                write(piece)

    async def save(self, path: str, target: Path) -> None:
        """Write what an address has into a file, all of it or nothing.

        Raises:
            SettingsError: The file cannot be written.
        """
        new = target.with_name(f".{target.name}.part")
        try:
            with new.open("wb") as file:
                await self.download(path, file.write)
            new.replace(target)
        except aiohttp.ClientError:  # some of them are an OSError, too
            raise
        except OSError as error:
            raise SettingsError(f"{target} cannot be written: {error.strerror}.") from error
        finally:
            new.unlink(missing_ok=True)

    async def find_run(self, beginning: str) -> str:
        """The id of the run whose id begins like this.

        Raises:
            SettingsError: It is no beginning of an id, or that of several.
        """
        beginning = beginning.lower()
        if not _ID.fullmatch(beginning):
            raise SettingsError(f"{beginning!r} is not the id of a run, nor the beginning of one.")
        if len(beginning) == 32:
            return beginning
        listed = (await self.ask("GET", "/runs", params={"limit": str(LOOKED_THROUGH)}))["runs"]
        found = [run["id"] for run in listed if run["id"].startswith(beginning)]
        if len(found) > 1:
            raise SettingsError(f"{len(found)} runs have an id that begins with {beginning}; give more of it.")
        return found[0] if found else beginning  # an older one, perhaps: the server's answer says that it is unknown


def talk(given: argparse.Namespace, ask: Callable[[Server], Awaitable[int]]) -> int:
    """Let a command talk to the server that it was given.

    Returns:
        The command's exit code, or the one for what went wrong, which has been told then.
    """
    _check_address(given.server)

    async def main() -> int:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout, headers=_credentials()) as session:
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


def _credentials() -> dict[str, str]:
    """What proves to the server who we are; not an argument, which everybody on the machine could see."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or not token.isprintable():
        raise SettingsError(f"{TOKEN_VARIABLE} is not a token.")
    return {"Authorization": f"Bearer {token}"} if token else {}


def is_away(error: Exception) -> bool:
    """Whether the server may be back in a moment, e.g. because it is being restarted."""
    if isinstance(error, Refused):
        return error.status == _UNAVAILABLE
    return isinstance(error, aiohttp.ClientError | TimeoutError)


def in_path(text: str) -> str:
    """A name as a part of an address."""
    return quote(text, safe="")


def call_arguments(pairs: list[str]) -> dict[str, Any]:
    """The arguments of a model, from ``NAME=VALUE``.

    Raises:
        SettingsError: One has another form.
    """
    arguments = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise SettingsError(f"--arg must be NAME=VALUE, not {pair!r}.")
        arguments[name] = value(text)
    return arguments


def value(text: str) -> Any:
    """JSON where the text is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_address(server: str) -> None:
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"--server must be an address like http://127.0.0.1:5000, not {server!r}.")


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


def _complain(refused: Refused, as_json: bool) -> int:
    problem = refused.problem
    if as_json:
        print(json.dumps(problem))
    else:
        print(f"deepaas-core: {problem.get('detail') or problem.get('title')}", file=sys.stderr)
        for item in problem.get("errors", ()):
            line = f"{item['file']}{', line ' + str(item['line']) if item['line'] else ''}" if "file" in item else ""
            line += f": {item['member']}" if item.get("member") else ""
            print(f"  {item['pointer'] or line or '(input)'}: {item['detail']}", file=sys.stderr)
    return Exit.NOT_FOUND if refused.status == 404 else Exit.FAILED
