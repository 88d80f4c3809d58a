"""From what was seen of an answered request to its entry in the prediction log, without what must not be kept.

This is done off the request's path, on a thread: texts are decoded, searched for names, and encoded again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from deepaas_core.domain.argument import Argument
from deepaas_core.domain.prediction import Prediction
from deepaas_core.domain.prediction_log import REDACTED, LogEntry, LogRules, Predicted, new_id, predicted, redacted
from deepaas_core.domain.service import Feature, FeatureType
from deepaas_core.executors.base import Call

#: What an upload among the arguments of a call is known by.
_UPLOAD = {"name", "filename", "content_type", "original_filename"}


@dataclass(frozen=True, slots=True)
class Left:
    """What stands for something that is not kept, because of what it is or how long it is.

    Attributes:
        size: Its bytes, if that is known.
        about: What else is to be said of it.
    """

    size: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        return {**({} if self.size is None else {"$bytes": self.size}), **self.about}


@dataclass(slots=True)
class Seen:
    """One answered request, or a row of it, as it was seen.

    Attributes:
        at: Unix time at which it came.
        inputs: A call, or JSON-native data; None if they are not known.
        output: A prediction, or JSON-native data; None if there was none.
        context: What the caller sent with it to be kept, JSON or any other text; or JSON-native data.
        first_output: The first declared output.
        arguments: Those of the function that was called; some are secret.
        size: About how many bytes of memory it takes.
        others: See ``LogEntry``.
    """

    rules: LogRules
    at: float
    request: str
    service: str
    endpoint: str
    generation: str = ""
    row: int | None = None
    token: str = ""
    status: int = 200
    error: str = ""
    duration_s: float = 0.0
    inputs: Any = None
    output: Any = None
    context: Any = None
    first_output: Feature | None = None
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    size: int = 0


def spare(call: Call, limit: int) -> Call | Left:
    """A call to be kept for a while; without its body where that is long, or lies where others will write."""
    if call.loan is None and len(call.body) <= limit:
        return call
    return Left(len(call.body), _of_file(call.payload))


def entry_of(seen: Seen) -> LogEntry:
    """What is kept of it."""
    rules, names, at = seen.rules, _names(seen), datetime.fromtimestamp(seen.at, UTC)
    output = redacted(_output(seen.output), names) if rules.outputs else None
    return LogEntry(
        id=new_id(at, seen.row),
        at=at,
        request=seen.request,
        service=seen.service,
        endpoint=seen.endpoint,
        generation=seen.generation,
        row=seen.row,
        token=seen.token,
        status=seen.status,
        error=seen.error,
        duration_s=seen.duration_s,
        inputs=_kept(redacted(_inputs(seen.inputs, names), names), rules) if rules.inputs else None,
        output=_kept(output, rules),
        context=_kept(redacted(_context(seen.context, names), names), rules),
        predicted=_predicted(output, seen),
    )


def _names(seen: Seen) -> frozenset[str]:
    """The names whose values are not kept: those that the rules say, and what the function's author calls secret."""
    secret = [key.casefold() for key, argument in seen.arguments.items() if argument.secret]
    return seen.rules.redact.union(secret) if secret else seen.rules.redact


def _inputs(inputs: Any, names: frozenset[str]) -> Any:
    if not isinstance(inputs, Call):
        return inputs.to_plain() if isinstance(inputs, Left) else inputs
    told = {name: _argument(value) for name, value in inputs.values.items()}
    payload, form = inputs.payload, inputs.payload.get("form")
    if "url" in payload:
        told["url"] = payload["url"]
    elif form in ("json", "text"):
        told["data"] = _data(inputs, names)
    elif payload:
        told["data"] = Left(None if "path" in payload else len(inputs.body), _of_file(payload)).to_plain()
    return told


def _data(call: Call, names: frozenset[str]) -> Any:
    if call.payload["form"] == "json":
        return _decoded(call.body)
    try:
        text = bytes(call.body).decode(call.payload.get("charset") or "utf-8")
    except (LookupError, ValueError):
        return Left(len(call.body), _of_file(call.payload)).to_plain()
    return REDACTED if names else text  # nobody can tell where in a text a name's value is


def _argument(value: Any) -> Any:
    """An argument without the paths of this server."""
    if isinstance(value, dict) and set(value) == _UPLOAD:
        return {"filename": value["original_filename"], "content_type": value["content_type"]}
    return [_argument(each) for each in value] if isinstance(value, list) else value


def _of_file(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: payload[name] for name in ("content_type", "filename") if payload.get(name)}


def _output(output: Any) -> Any:
    if not isinstance(output, Prediction):
        return output.to_plain() if isinstance(output, Left) else output
    if output.pieces is not None:
        return {"stream": True}
    if output.path is not None or output.media_type is not None:
        about = {"content_type": output.media_type} if output.media_type else {}
        return Left(None if output.path else len(output.body), about).to_plain()
    return _decoded(output.body)


def _decoded(body: bytes | bytearray | memoryview) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return {"$bytes": len(body)}


def _context(context: Any, names: frozenset[str]) -> Any:
    if not isinstance(context, str):
        return context
    try:
        return orjson.loads(context)
    except ValueError:
        return REDACTED if names else context


def _kept(value: Any, rules: LogRules) -> str | None:
    """As JSON text, if it is not too long."""
    if value is None:
        return None
    try:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # numbers and letters that JSON may have and orjson has not
        text = json.dumps(value, default=str)
    return text if len(text) <= rules.max_bytes else json.dumps({"$bytes": len(text)})


def _predicted(output: Any, seen: Seen) -> Predicted:
    if output is None or seen.status >= 400:
        return Predicted()
    declared = seen.first_output
    found = predicted(output, declared.name if declared else "")
    if found.number is not None and declared is not None and declared.type is FeatureType.NUMBER:
        return Predicted(found.number)
    return Predicted() if found.category == REDACTED else found
