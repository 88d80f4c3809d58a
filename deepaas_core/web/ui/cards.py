"""What the landing page shows of one model."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from deepaas_core.domain.arguments import Arguments, Kind
from deepaas_core.domain.model import Capability, Model
from deepaas_core.serving.catalog import Entry

_FUNCTIONS = (
    Capability.PREDICT_DATA,
    Capability.PREDICT_FILE,
    Capability.PREDICT_URL,
    Capability.PREDICT,
    Capability.TRAIN,
)
_MAX_EXAMPLE = 400  # characters; longer data does not make a command to copy
_MAX_DESCRIPTION = 600
_MAX_SHOWN = 3  # arguments in a command


@dataclass(frozen=True)
class Function:
    """A function and whether the model has it."""

    name: str
    offered: bool


@dataclass(frozen=True)
class Command:
    """Something to type.

    Attributes:
        title: What it does.
        before, after: The command, around the address of this server.
    """

    title: str
    before: str
    after: str


@dataclass(frozen=True)
class Card:
    """One model on the page.

    Attributes:
        state: ``starting``, ``ready``, ``restarting``, ``failed`` or ``stopped``.
        tag: The model's section in Swagger UI.
        homepage: An http or https address, or nothing.
    """

    name: str
    state: str
    reason: str
    version: str = ""
    description: str = ""
    distribution: str = ""
    environment: str = ""
    author: str = ""
    license: str = ""
    homepage: str = ""
    tag: str = ""
    functions: tuple[Function, ...] = ()
    commands: tuple[Command, ...] = ()

    @classmethod
    def refused(cls, name: str, distribution: str, reason: str) -> Card:
        """A model that was declared and cannot be offered at all."""
        return cls(name=name, state="failed", reason=reason, distribution=distribution)


def card(entry: Entry) -> Card:
    """What is to be shown of an entry, described already or not."""
    source, model = entry.source, entry.model
    metadata = model.metadata if model else {}
    known = model.capabilities if model else frozenset()
    return Card(
        name=source.name,
        state=str(entry.state),
        reason=entry.reason,
        version=model.version if model else source.version,
        description=_shortened(str(metadata.get("description") or metadata.get("summary") or source.summary)),
        distribution=f"{source.distribution} {source.version}",
        environment=f"Python {model.python} ({source.environment.name})" if model and source.environment else "",
        author=source.author,
        license=source.license,
        homepage=source.homepage if urlsplit(source.homepage).scheme in ("http", "https") else "",
        tag=quote(source.name.replace(" ", "_"), safe=""),
        functions=tuple(Function(str(one), one in known) for one in _FUNCTIONS) if model else (),
        commands=tuple(_commands(model)) if model else (),
    )


def _commands(model: Model) -> Iterator[Command]:
    path = f"/api/v1/models/{quote(model.name, safe='')}"
    if Capability.PREDICT_FILE in model.capabilities:
        yield Command("Predict from a file", "curl -F data=@input.png ", f"{path}/predict/file")
    if Capability.PREDICT_DATA in model.capabilities:
        yield _post("Predict from data", f"{path}/predict/data", {"data": _example(model)})
    if Capability.PREDICT_URL in model.capabilities:
        yield _post("Predict from a URL", f"{path}/predict/url", {"url": "https://example.org/input.png"})
    if Capability.PREDICT in model.capabilities:
        yield _told("Predict", f"{path}/predict", model.arguments_of(Capability.PREDICT))
    if Capability.TRAIN in model.capabilities:
        yield _told("Train", f"{path}/train", model.arguments_of(Capability.TRAIN))


def _told(title: str, path: str, arguments: Arguments) -> Command:
    """A command with the first few arguments that have a default worth showing, or with the files it needs."""
    files = [
        f"-F {shlex.quote(key + '=@file')} " for key, one in arguments.items() if one.required and one.kind is Kind.FILE
    ]
    if files:
        return Command(title, f"curl {''.join(files)}", path)
    shown = {
        key: one.default
        for key, one in arguments.items()
        if one.has_default and one.default is not None and not one.secret and one.location in (None, "json")
    }
    return _post(title, path, dict(list(shown.items())[:_MAX_SHOWN]))


def _post(title: str, path: str, body: dict[str, Any]) -> Command:
    sent = shlex.quote(json.dumps(body, default=str))
    return Command(title, "curl -X POST ", f"{path} \\\n  -H 'Content-Type: application/json' \\\n  -d {sent}")


def _example(model: Model) -> Any:
    example = (model.signature or {}).get("example", "…")
    return example if len(json.dumps(example, default=str)) <= _MAX_EXAMPLE else "…"


def _shortened(words: str) -> str:
    return words if len(words) <= _MAX_DESCRIPTION else words[:_MAX_DESCRIPTION].rstrip() + " …"
