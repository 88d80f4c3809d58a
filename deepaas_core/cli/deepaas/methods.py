"""``deepaas-cli``: call a function of a model once, without a server.

The model runs in a process of its own, in its own environment, and is warm before it is called. Arguments are checked
as a request's are; what is not given and has no default is left out.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import logging
import mimetypes
import os
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from deepaas_core.cli.deepaas.alone import Alone, brought_up, chosen
from deepaas_core.cli.deepaas.options import LOGGING, SERVING, Option, Parser, Said
from deepaas_core.cli.deepaas.translating import begin_log, settings_of
from deepaas_core.cli.exits import Exit
from deepaas_core.domain.arguments import Argument, Arguments, Kind, Upload
from deepaas_core.domain.model import Capability
from deepaas_core.errors import DeepaasError, InvalidInput
from deepaas_core.executors.base import Result
from deepaas_core.settings import Settings
from deepaas_core.web.deepaas.values import check

log = logging.getLogger(__name__)

PROGRAM = "deepaas-cli"
METHODS = {
    "get_metadata": "what the model says of itself",
    "warm": "load the model, and warm it up",
    "predict": "predict once",
    "train": "train, and wait until that is over",
}
OPTIONS = (
    Option("deepaas_method_output", "file to write the result to"),
    Option("deepaas_with_multiprocessing", "the model has a process of its own; always so", "switch", True),
)
_HOOKS = {"predict": Capability.PREDICT, "train": Capability.TRAIN}
_JSON = ".json"


def main(argv: Sequence[str] | None = None) -> int:
    """Call one function.

    Returns:
        0 if it returned; 1 if it did not, or there is no such model; 2 if the arguments cannot be used.
    """
    parser = Parser(PROGRAM, "Call a function of a model once.", (*SERVING, *LOGGING, *OPTIONS), METHODS)
    try:
        said = parser.parse(sys.argv[1:] if argv is None else argv, os.environ)
        settings = settings_of(said, os.environ)
        begin_log(said, settings)
        if not said.rest:
            log.warning("no method was asked for, so it is get_metadata")
        method, *rest = said.rest or ["get_metadata"]
        asyncio.run(_run(method, rest, said, settings))
        return Exit.OK
    except InvalidInput as error:
        for issue in error.issues:
            print(f"{PROGRAM}: --{issue.pointer.lstrip('/')}: {issue.detail}", file=sys.stderr)
        return Exit.USAGE
    except (DeepaasError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        trace = getattr(error, "traceback", "")
        print(trace, file=sys.stderr, end="\n" if trace else "")
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def _run(method: str, argv: Sequence[str], said: Said, settings: Settings) -> None:
    output = said.values.get("deepaas_method_output")
    async with brought_up(chosen(settings), settings) as alone:
        values = _values(method, argv, alone)
        log.info("%s was called", method)
        if method == "warm":
            log.info("return: Finished warm() method")
        elif method == "get_metadata":
            _tell(json.dumps(alone.model.metadata), output)
        elif method == "train":
            _tell(await _train(alone, values), output)
        else:
            _keep(await alone.call(Capability.PREDICT, values), values.get("accept"), output)


async def _train(alone: Alone, values: Mapping[str, Any]) -> str:
    begun = datetime.now()
    result = await alone.call(Capability.TRAIN, dict(values))
    ended = datetime.now()
    document = {
        "date": str(begun),
        "args": {
            name: value["original_filename"] if isinstance(value, Upload) else value for name, value in values.items()
        },
        "status": "done",
        "uuid": uuid.uuid4().hex,
        "result": {"finish_date": str(ended), "duration": str(ended - begun), "output": json.loads(result.body)},
    }
    return json.dumps(document)


# Arguments: one option for each.


def _values(method: str, argv: Sequence[str], alone: Alone) -> dict[str, Any]:
    arguments = alone.model.arguments_of(_HOOKS[method]) if method in _HOOKS else Arguments()
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {method}", description=METHODS[method])
    for argument in arguments.values():
        parser.add_argument(
            f"--{argument.key}", default=None, dest=argument.key, metavar=argument.kind.upper(), help=_help(argument)
        )
    given = vars(parser.parse_args(argv))
    found = {key: _read(arguments[key], text, alone.folder) for key, text in given.items() if text is not None}
    return check(arguments.values(), found)


def _help(argument: Argument) -> str:
    about = [argument.help.rstrip(".")] if argument.help else []
    if argument.choices:
        about.append(f"one of {', '.join(map(str, argument.choices))}")
    if argument.required:
        about.append("required")
    elif argument.has_default and not argument.secret:
        about.append(f"default: {argument.default}")
    return "; ".join(about).replace("%", "%%")


def _read(argument: Argument, text: str, folder: Path) -> Any:
    """What was typed: a path where a file is wanted, else a Python literal where a list or an object is, else text."""
    if argument.kind is Kind.FILE:
        return copied(Path(text), "data", folder)
    if argument.kind is Kind.ARRAY and argument.items is not None and argument.items.kind is Kind.FILE:
        return [copied(Path(path), "data", folder) for path in text.split(",")]
    if argument.kind in (Kind.ARRAY, Kind.OBJECT):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):  # JSON, or a single text
            return _from_json(text)
    return text


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def copied(path: Path, name: str, folder: Path) -> Upload:
    """A copy of a file, which the model may remove.

    Raises:
        OSError: It cannot be read.
    """
    copy = folder / f"{uuid.uuid4().hex}{path.suffix}"
    shutil.copyfile(path, copy)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Upload(name=name, filename=str(copy), content_type=kind, original_filename=str(path))


# Results: to the log, to standard output, or to a file.


def _tell(text: str, output: str | None) -> None:
    if output:
        _write(Path(output), text.encode())
    else:
        log.info("return: %s", text)
        print(text, flush=True)


def _keep(result: Result, accept: object, output: str | None) -> None:
    if result.media_type is None:
        text = json.dumps(json.loads(result.body))
        _tell(text, output and _named(output, _JSON))
        return
    content = result.path.read_bytes() if result.path else result.body
    if output:
        extension = mimetypes.guess_extension(str(accept)) or mimetypes.guess_extension(result.media_type) or ""
        _write(Path(_named(output, extension)), content)
    else:
        log.info("return: %d bytes of %s", len(content), result.media_type)
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _named(output: str, extension: str) -> str:
    """The name of the file, which says what is in it."""
    if not extension or Path(output).suffix == extension:
        return output
    log.warning("the file gets the extension of what is in it", extra={"file": output + extension})
    return output + extension


def _write(path: Path, content: bytes) -> None:
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    log.info("return: Output is saved in %s", path)
