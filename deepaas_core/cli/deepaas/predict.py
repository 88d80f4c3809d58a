"""``deepaas-predict``: predict from one file or one address, and leave the result in a folder."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepaas_core.cli.deepaas.alone import Alone, brought_up, chosen
from deepaas_core.cli.deepaas.methods import copied
from deepaas_core.cli.deepaas.options import SERVING, Option, Parser
from deepaas_core.cli.deepaas.translating import begin_log, settings_of
from deepaas_core.cli.exits import Exit
from deepaas_core.domain.arguments import Argument, Arguments, Kind
from deepaas_core.domain.model import Capability
from deepaas_core.errors import CapabilityMissing, DeepaasError, SettingsError
from deepaas_core.executors.base import Result
from deepaas_core.settings import Settings
from deepaas_core.web.deepaas.values import check

PROGRAM = "deepaas-predict"
OPTIONS = (
    Option("content-type", "media type of the result", default="application/json", also=("-ct",)),
    Option("input-file", "file, or with --url the address, to predict from", also=("-i",)),
    Option("output", "folder for the result", also=("-o",)),
    Option("url", "the input is an address", "switch", False, ("-u",)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Predict once.

    Returns:
        0 if there is a result; 1 if not; 2 if the command line cannot be understood.
    """
    parser = Parser(PROGRAM, "Predict from one file or one address; deepaas-cli can do more.", (*SERVING, *OPTIONS))
    try:
        said = parser.parse(sys.argv[1:] if argv is None else argv, os.environ)
        settings = settings_of(said, os.environ)
        begin_log(said, settings)
        for name in ("input_file", "output"):
            if not said.values.get(name):
                raise SettingsError(f"Option --{name.replace('_', '-')} is required.")
        print(f"Output saved at {asyncio.run(_run(said.values, settings))}")
        return Exit.OK
    except (DeepaasError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def _run(said: Any, settings: Settings) -> Path:
    accept, folder = said.get("content_type", "application/json"), Path(said["output"])
    async with brought_up(chosen(settings), settings) as alone:
        result = await _predict(alone, said["input_file"], accept, address=said.get("url", False))
        stem = Path(said["input_file"]).stem
        extension = ".json" if result.media_type is None else mimetypes.guess_extension(result.media_type) or ""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"out_{stem}{extension}"
        if result.media_type is None:
            target.write_text(json.dumps(json.loads(result.body)) + "\n")
        else:
            target.write_bytes(result.path.read_bytes() if result.path else result.body)
    return target


async def _predict(alone: Alone, given: str, accept: str, *, address: bool) -> Result:
    """Ask the function for files or for addresses; a model without it may have ``predict`` with one place for it."""
    hook = Capability.PREDICT_URL if address else Capability.PREDICT_DATA
    if hook in alone.model.capabilities:
        declared = alone.model.arguments_of(hook)
        values = check(declared.values(), {"accept": accept} if "accept" in declared else {})
        if "accept" not in declared:
            values["accept"] = accept
        if address:
            return await alone.call(hook, values, payload={"url": given, "urls": [given]})
        kind = mimetypes.guess_type(given)[0] or "application/octet-stream"
        sent = {"form": "bytes", "filename": given, "content_type": kind}
        return await alone.call(hook, values, payload=sent, body=Path(given).read_bytes())
    arguments = alone.model.arguments_of(Capability.PREDICT)
    place = _only(arguments, Kind.URL if address else Kind.FILE)
    if Capability.PREDICT not in alone.model.capabilities or place is None:
        raise CapabilityMissing(alone.model.name, hook.function)
    found: dict[str, Any] = {place.key: given if address else copied(Path(given), place.key, alone.folder)}
    if "accept" in arguments:
        found["accept"] = accept
    return await alone.call(Capability.PREDICT, check(arguments.values(), found))


def _only(arguments: Arguments, kind: Kind) -> Argument | None:
    """The one argument of a kind; None if there is none, or more than one."""
    fitting = [
        argument
        for argument in arguments.values()
        if argument.kind is kind or (argument.items is not None and argument.items.kind is kind)
    ]
    return fitting[0] if len(fitting) == 1 else None
