"""Where DEEPaaS looks for an argument: in the query, then in the form, then in the JSON body; the first hit counts.

An author may name one place instead. What nobody has declared is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from multidict import MultiDict, MultiMapping
from multipart import MultipartSegment

from deepaas_core import errors
from deepaas_core.domain.arguments import Argument, Arguments, Kind, Upload
from deepaas_core.domain.model import Capability, Model
from deepaas_core.web import negotiation, uploads
from deepaas_core.web.deepaas import values
from deepaas_core.web.inputs import read_body
from deepaas_core.web.keys import PREDICTOR, SETTINGS
from deepaas_core.web.scratch import Folder, shown_name

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 1000
ANY_TYPE = "*/*"


@dataclass
class Sent:
    """What a request carries, place by place.

    Attributes:
        form: Fields that are text.
        files: Uploads by field.
        members: Members of a JSON object.
    """

    request: web.Request
    form: MultiDict[str] = field(default_factory=MultiDict)
    files: dict[str, list[Upload]] = field(default_factory=dict)
    members: dict[str, Any] = field(default_factory=dict)

    def find(self, argument: Argument) -> tuple[Any, ...]:
        """The value of an argument, alone in a tuple; an empty one if it was not sent."""
        places = (argument.location,) if argument.location else ("query", "form", "json")
        for place in places:
            found = self._find(argument, place)
            if found:
                return found
        return ()

    def _find(self, argument: Argument, place: str) -> tuple[Any, ...]:
        key, request = argument.key, self.request
        if place == "query":
            return _first_or_all(request.query, argument)
        if place == "form":
            files = self.files.get(key)
            if files:
                return (files if argument.kind is Kind.ARRAY else files[0],)
            return _first_or_all(self.form, argument)
        if place == "header":
            text = request.headers.get(key)
            return () if text is None else (text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),)
        source: Mapping[str, Any] = request.cookies if place == "cookie" else self.members
        return (source[key],) if key in source else ()


def _first_or_all(fields: MultiMapping[str], argument: Argument) -> tuple[Any, ...]:
    if argument.key not in fields:
        return ()
    many = argument.kind is Kind.ARRAY and not argument.opaque
    texts = fields.getall(argument.key)
    return (texts,) if many and len(texts) > 1 else (texts[0],)


async def read_values(request: web.Request, model: Model, capability: Capability, folder: Folder) -> dict[str, Any]:
    """The checked arguments of a hook.

    Args:
        request: Its body has not been read yet.
        model: The model that is called.
        capability: Its hook.
        folder: Where uploads go.

    Raises:
        InvalidRequest: One of its kinds.
    """
    sent = await gather(request, folder)
    arguments = model.arguments_of(capability)
    seen = values.read(arguments.values(), _found(arguments, sent))
    if seen.wrong is not None and (
        seen.sure or not await request.app[PREDICTOR].judged(model, capability, seen.native)
    ):
        raise seen.wrong
    return seen.native


def check(arguments: Arguments, sent: Sent) -> dict[str, Any]:
    """The checked arguments of a hook, from what was sent, without asking the model.

    Raises:
        InvalidInput: One issue for everything that is wrong.
    """
    return values.check(arguments.values(), _found(arguments, sent))


def _found(arguments: Arguments, sent: Sent) -> dict[str, Any]:
    """What there is for each argument, by key."""
    found = {key: value[0] for key, argument in arguments.items() if (value := sent.find(argument))}
    for key, argument in arguments.items():
        if key.lower() == "accept" and argument.choices:
            _negotiate(sent.request, argument, found)
    return found


def _negotiate(request: web.Request, argument: Argument, found: dict[str, Any]) -> None:
    """Choose among a model's media types by what is sent as the argument, else by the header ``Accept``.

    What accepts anything gets the author's own default, or else the first choice. The header of a request to a model
    that does not ask for headers is a wish: if it cannot be met, the default holds.
    """
    key, header = argument.key, request.headers.get("Accept", "")
    offered = [str(choice) for choice in argument.choices if choice not in (ANY_TYPE, argument.default)]
    if argument.has_default and argument.default is not None:
        offered.insert(0, str(argument.default))
    offered = offered or [ANY_TYPE]
    sent = found.get(key, header)
    if not isinstance(sent, str):
        return
    if sent != ANY_TYPE and sent in argument.choices:
        chosen: str | None = sent
    else:
        chosen = negotiation.choose(sent, offered) if "/" in sent or not sent.strip() else None
    if chosen is not None:
        found[key] = chosen
    elif key not in found and argument.location != "header":
        found[key] = offered[0]


async def gather(request: web.Request, folder: Folder) -> Sent:
    """Read the body of a request, whatever it is.

    Raises:
        InvalidRequest: One of its kinds.
    """
    sent = Sent(request)
    if not request.can_read_body:
        return sent
    settings, media_type = request.app[SETTINGS], request.content_type
    try:
        if media_type.startswith("multipart/"):
            budget = uploads.Budget(request)
            await uploads.read_form(request, _Form(sent, folder, budget), budget)
            return sent
        body = bytes(await read_body(request, settings))
    except TimeoutError:
        raise errors.RequestTimeout("The body of the request did not arrive in time.") from None
    except web.RequestPayloadError:
        raise errors.MalformedBody("The body of the request cannot be decoded.") from None
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        sent.members = _members(body)
    elif media_type == FORM:
        sent.form = _fields(body)
    return sent


def _members(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise errors.MalformedBody("The body is not valid JSON.") from None
    return value if isinstance(value, dict) else {}


def _fields(body: bytes) -> MultiDict[str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise errors.MalformedBody(f"The form is not valid, or has more than {MAX_FIELDS} fields.") from None
    return MultiDict(pairs)


class _Form:
    """Takes the parts of a multipart body. Implements ``uploads.Receiver``."""

    def __init__(self, sent: Sent, folder: Folder, budget: uploads.Budget):
        self._sent = sent
        self._folder = folder
        self._budget = budget

    def begin(self, part: MultipartSegment) -> uploads.Held | uploads.Saved:
        if not part.filename:
            return uploads.Held(self._budget)
        return uploads.Saved(self._folder.new_file(part.filename), self._budget)

    def end(self, part: MultipartSegment, content: uploads.Held | uploads.Saved) -> None:
        name = part.name or ""
        if isinstance(content, uploads.Saved):
            upload = Upload(
                name=name,
                filename=str(content.path),
                content_type=part.content_type or "application/octet-stream",
                original_filename=shown_name(part.filename or ""),
            )
            self._sent.files.setdefault(name, []).append(upload)
            return
        try:
            self._sent.form.add(name, content.content.decode(part.charset or "utf-8"))
        except (ValueError, LookupError):
            raise errors.MalformedBody(f"The field {name!r} is not in the charset it claims to be in.") from None
