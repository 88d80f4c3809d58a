"""``deepaas-core predict`` and ``train``: ask a model of a running server."""

from __future__ import annotations

import argparse
import json
import mimetypes
import sys
from pathlib import Path
from typing import Any

import aiohttp

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.following import finish
from deepaas_core.cli.server import Server, call_arguments, in_path, talk, value
from deepaas_core.cli.terminal import Terminal
from deepaas_core.errors import SettingsError


def predict(given: argparse.Namespace) -> int:
    """Ask a model."""
    path = f"/models/{in_path(given.name)}/predict"
    arguments = call_arguments(given.arg)

    async def ask(server: Server) -> int:
        if given.file is not None:
            answer = await _upload(server, f"{path}/file", Path(given.file), arguments)
        elif given.url is not None:
            answer = await server.ask_for_any("POST", f"{path}/url", json={"url": given.url, **arguments})
        elif given.data is not None:
            answer = await server.ask_for_any("POST", f"{path}/data", json={"data": value(given.data), **arguments})
        else:
            answer = await server.ask_for_any("POST", path, json=arguments)
        _print_answer(answer, given.json)
        return Exit.OK

    return talk(given, ask)


def train(given: argparse.Namespace) -> int:
    """Start a run, and follow it if asked to."""
    arguments = call_arguments(given.arg)
    headers = {} if given.promote_if is None else {"X-Promote-If": given.promote_if}

    async def ask(server: Server) -> int:
        path = f"/models/{in_path(given.name)}/train"
        return await finish(server, await server.ask("POST", path, json=arguments, headers=headers), given)

    return talk(given, ask)


async def _upload(server: Server, path: str, file: Path, arguments: dict[str, Any]) -> dict[str, Any] | bytes:
    form = aiohttp.FormData()
    for name, argument in arguments.items():
        form.add_field(name, argument if isinstance(argument, str) else json.dumps(argument))
    try:
        content = file.open("rb")
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    form.add_field("data", content, filename=file.name, content_type=media_type)
    return await server.ask_for_any("POST", path, data=form)


def _print_answer(answer: Any, as_json: bool) -> None:
    if isinstance(answer, bytes):
        sys.stdout.buffer.write(answer)
    elif as_json:
        print(json.dumps(answer))
    else:
        Terminal().print_json(json.dumps(answer.get("prediction", answer)))
