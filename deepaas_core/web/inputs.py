"""From the bytes of a request to the checked inputs of one call.

A request may carry its arguments in the query, in a form, in a multipart body or in a JSON object, and its payload
(data, a file, a URL) beside them or as the whole body. Uploads go to disk as they arrive. What a model is given as
``data`` is not decoded here: its bytes travel on to the worker, which needs the value anyway.
"""

from __future__ import annotations

import asyncio
import math
import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import orjson
from aiohttp import web
from multidict import MultiDict
from multipart import MultipartSegment
from webargs.aiohttpparser import AIOHTTPParser
from webargs.multidictproxy import MultiDictProxy

from deepaas_core import errors
from deepaas_core.domain.arguments import Argument, Arguments, Kind, Upload, issues
from deepaas_core.domain.model import Capability, Model
from deepaas_core.executors.base import Call
from deepaas_core.executors.shelf import Loan
from deepaas_core.executors.worker.slots import LARGE_BYTES
from deepaas_core.settings import Settings
from deepaas_core.web import fetch, negotiation, uploads
from deepaas_core.web.auth import max_body_bytes
from deepaas_core.web.keys import GUARD, PREDICTOR, SETTINGS
from deepaas_core.web.scratch import Folder, shown_name

TIMEOUT_HEADER = "X-Timeout-S"
MAX_NESTING = 100
PIECE_BYTES = 1 << 18
FORM = "application/x-www-form-urlencoded"
#: Fields under which a payload may come, the documented one first.
PAYLOAD_FIELDS = {
    Capability.PREDICT_DATA: ("data",),
    Capability.PREDICT_FILE: ("data", "file"),
    Capability.PREDICT_URL: ("url",),
}
_FIRST = re.compile(rb"\s*(.)", re.DOTALL)
#: What aiohttp decodes; it refuses the last two by itself where their libraries are not installed.
_ENCODINGS = frozenset({"identity", "gzip", "deflate", "br", "zstd"})
_DATA = re.compile(rb'\s*\{\s*"data"\s*:')
_ENVELOPE = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass
class Sent:
    """What a request carried, before it is checked against a model's arguments.

    Attributes:
        members: Members of a JSON object.
        fields: Query parameters and form fields, in order.
        files: Uploads by field name, as the worker line tells of them.
        payload, body, loan: See ``executors.base.Call``; None while there is no payload.
    """

    fields: MultiDict[Any]
    members: dict[str, Any] = field(default_factory=dict)
    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    payload: dict[str, Any] | None = None
    body: bytes | bytearray | memoryview = b""
    loan: Loan | None = None


_SENT = web.RequestKey("sent", Sent)


class _Parser(AIOHTTPParser):
    """webargs, reading from what was gathered instead of from the request itself."""

    def __init__(self) -> None:
        super().__init__()
        self.DEFAULT_UNKNOWN_BY_LOCATION = {}

    def handle_error(self, error: Any, req: Any, schema: Any, **_: Any) -> Any:
        messages = error.messages
        raise errors.InvalidInput(issues(messages.get("inputs", messages) if isinstance(messages, dict) else messages))


_parser = _Parser()


@_parser.location_loader("inputs")
def _load_inputs(request: web.Request, schema: Any) -> Mapping[str, Any]:
    sent = request[_SENT]
    fields = MultiDictProxy(sent.fields, schema)
    if not sent.members and not sent.files:
        return fields
    merged = dict(sent.members)
    merged.update({key: fields[key] for key in sent.fields})
    merged.update({key: found[0] if len(found) == 1 else found for key, found in sent.files.items()})
    return merged


async def read_call(request: web.Request, model: Model, capability: Capability, folder: Folder) -> Call:
    """Read everything a call needs.

    Args:
        request: Its body has not been read yet.
        model: The model that is called.
        capability: Its hook.
        folder: Where uploads go.

    Raises:
        InvalidRequest: One of its kinds, naming what is wrong.
    """
    arguments = model.arguments_of(capability)
    sent = await _gather(request, capability, arguments, folder, partial(request.app[PREDICTOR].lend, model.name))
    values = await _checked(request, arguments, sent)
    if capability is Capability.PREDICT_URL:
        await fetch.check(sent.payload["url"] if sent.payload else "", request.app[GUARD])
    return Call(
        capability,
        values,
        sent.payload or {},
        sent.body,
        accept=negotiation.array_type(request.headers),
        stream=negotiation.stream_type(request.headers) is not None,
        loan=sent.loan,
    )


async def read_values(request: web.Request, model: Model, capability: Capability, folder: Folder) -> dict[str, Any]:
    """Read and check the arguments of a hook that takes no payload."""
    arguments = model.arguments_of(capability)
    return await _checked(request, arguments, await _gather(request, capability, arguments, folder))


async def read_object(request: web.Request) -> dict[str, Any]:
    """A JSON object that is the whole body; an empty body is an empty object."""
    with reading(request):
        return _read_object(await read_body(request, request.app[SETTINGS]))


def read_timeout(request: web.Request) -> float | None:
    """The caller's own time limit in seconds; None without one."""
    text = request.headers.get(TIMEOUT_HEADER)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise errors.InvalidInput(
            [errors.Issue("", f"The header {TIMEOUT_HEADER} must be a number of seconds above 0.")]
        )
    return seconds


async def _checked(request: web.Request, arguments: Arguments, sent: Sent) -> dict[str, Any]:
    _read_headers(request, arguments, sent)
    if not sent.fields and not sent.members and not sent.files and arguments.defaults is not None:
        return dict(arguments.defaults)
    request[_SENT] = sent
    values: dict[str, Any] = await _parser.parse(arguments.schema(), request, location="inputs")
    return values


def needs_headers(arguments: Arguments) -> bool:
    """Whether what a call is given depends on more of the request's head than its media type."""
    return any(argument.location == "header" or _is_negotiated(argument) for argument in arguments.values())


def _is_negotiated(argument: Argument) -> bool:
    return argument.key.lower() == "accept" and bool(argument.choices)


def _read_headers(request: web.Request, arguments: Arguments, sent: Sent) -> None:
    """Arguments whose author wants them from a header, and the media type that the model shall answer with."""
    for argument in arguments.values():
        key = argument.key
        if _is_negotiated(argument):
            _negotiate(request, argument, sent)
        elif argument.location == "header" and key not in sent.fields and key not in sent.members:
            text = request.headers.get(key)
            if text is not None:
                sent.fields.add(key, _readable(text))


def _readable(text: str) -> str:
    """A header's text, whose bytes need not be UTF-8, as text that can be handed on."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _negotiate(request: web.Request, argument: Argument, sent: Sent) -> None:
    """Choose among a model's media types by what is sent as the argument, else by the header ``Accept``.

    What the header says about a model that does not ask for headers is a wish: without a choice, the default holds.
    """
    asked = sent.members.get(argument.key, sent.fields.get(argument.key))
    text = request.headers.get("Accept") if asked is None else asked
    if not isinstance(text, str) or "/" not in text or (asked != "*/*" and asked in argument.choices):
        return
    offered = [str(choice) for choice in argument.choices if choice not in ("*/*", argument.default)]
    if argument.has_default and argument.default is not None:
        offered.insert(0, str(argument.default))
    chosen = negotiation.choose(text, offered or ["*/*"])
    if chosen is None:
        if asked is None and argument.location == "header":
            raise errors.NotAcceptable(f"The model can answer with {', '.join(offered)}.")
    elif asked is not None or argument.required or chosen != argument.default:
        sent.members.pop(argument.key, None)
        sent.fields[argument.key] = chosen


async def _gather(
    request: web.Request,
    capability: Capability,
    arguments: Arguments,
    folder: Folder,
    lend: Callable[[], Loan | None] = lambda: None,
) -> Sent:
    settings = request.app[SETTINGS]
    sent = Sent(MultiDict(request.query))
    names = PAYLOAD_FIELDS.get(capability, ())
    if request.can_read_body:
        with reading(request):
            if request.content_type.startswith("multipart/"):
                budget = uploads.Budget(request)
                form = _Form(capability, arguments, folder, sent, budget)
                await uploads.read_form(request, form, budget)
            elif _is_raw_file(request, capability):
                await _read_raw_file(request, folder, sent)
            elif capability is Capability.PREDICT_DATA and _can_be_lent(request) and (loan := lend()) is not None:
                folder.leaving.append(loan.let_go)
                await _read_lent(request, sent, settings, loan)
            else:
                await _read_whole(request, capability, sent, settings)
    _take_payload(capability, names, sent)
    return sent


@contextmanager
def reading(request: web.Request) -> Iterator[None]:
    """The reading of a body; what goes wrong with that is told.

    Raises:
        UnsupportedMedia: It is encoded in a way that cannot be undone here.
        RequestTimeout, MalformedBody: It did not arrive in time, or cannot be decoded.
    """
    _check_encoding(request)
    try:
        yield
    except TimeoutError:
        raise errors.RequestTimeout("The body of the request did not arrive in time.") from None
    except web.RequestPayloadError:
        raise errors.MalformedBody("The body of the request cannot be decoded.") from None


def _check_encoding(request: web.Request) -> None:
    """Refuse what would otherwise be read as if it were not encoded."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in _ENCODINGS:
        raise errors.UnsupportedMedia("Send the body as it is, or with the Content-Encoding gzip or deflate.")


def _take_payload(capability: Capability, names: tuple[str, ...], sent: Sent) -> None:
    """Move the payload from where it was sent to where the call has it, and complain when there is none."""
    for name in names:
        if sent.payload is not None:
            break
        if capability is Capability.PREDICT_URL:
            url = sent.members.pop(name, None) if name in sent.members else sent.fields.popone(name, None)
            if url is not None and not isinstance(url, str):
                raise errors.InvalidInput([errors.Issue("/url", "Must be a string.")])
            sent.payload = None if not url else {"url": url}
        elif capability is Capability.PREDICT_DATA and name in sent.fields:
            sent.body = str(sent.fields.popone(name)).encode("utf-8", "surrogatepass")
            sent.payload = {"form": "json" if sent.body.startswith((b"{", b"[")) else "text"}
    if names and sent.payload is None:
        needed = {
            Capability.PREDICT_DATA: "Data is required: as the member `data` of a JSON object, or as the body itself.",
            Capability.PREDICT_FILE: "A file is required: as the multipart field `data`, or as the body itself.",
            Capability.PREDICT_URL: "A URL is required.",
        }[capability]
        raise errors.InvalidInput([errors.Issue(f"/{names[0]}", needed)])


# Bodies read as a whole.


async def _read_whole(request: web.Request, capability: Capability, sent: Sent, settings: Settings) -> None:
    body = await read_body(request, settings)
    media_type = request.content_type
    as_json = media_type == "application/json" or media_type.endswith("+json")
    if media_type == FORM and body.startswith((b"{", b"[")):
        as_json = True  # what `curl -d '{…}'` sends when nobody told it the type
    if capability is Capability.PREDICT_DATA:
        _read_data(request, body, as_json, sent)
    elif as_json:
        sent.members.update(_read_object(body))
    elif media_type == FORM:
        sent.fields.extend(form_fields(body))
    elif body.strip():
        raise errors.UnsupportedMedia(
            f"Send the arguments as application/json, {FORM} or multipart/form-data, not as {media_type}."
        )


def _read_data(request: web.Request, body: bytearray, as_json: bool, sent: Sent) -> None:
    if as_json:
        _read_envelope(body, sent)
        if sent.payload is not None:
            sent.payload["content_type"] = request.content_type
    elif request.content_type == FORM:
        sent.fields.extend(form_fields(body))
    else:
        _take_data(request, body, sent)


def _take_data(request: web.Request, body: bytearray | memoryview, sent: Sent) -> None:
    media_type = request.content_type
    if media_type == "application/x-npy":
        sent.payload, sent.body = {"form": "npy"}, body
    elif media_type.startswith("text/"):
        sent.payload, sent.body = {"form": "text", "charset": request.charset}, body
    elif body or "Content-Type" in request.headers:
        sent.payload, sent.body = {"form": "bytes"}, body
    if sent.payload is not None:
        sent.payload["content_type"] = media_type


def _read_envelope(body: bytearray, sent: Sent) -> None:
    """``{"data": …, other arguments}``, with ``data`` left as it is; any other JSON than an object is the data."""
    first = _FIRST.match(body)
    if first is None:
        return
    if first[1] != b"{":
        sent.payload, sent.body = {"form": "json"}, body
        return
    alone = _only_data(body)
    if alone is not None:
        sent.payload, sent.body = {"form": "json"}, alone
        return
    try:
        envelope = _ENVELOPE.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise errors.MalformedBody("The body is not valid JSON.") from None
    data = envelope.pop("data", None)
    sent.members = {key: loads(value) for key, value in envelope.items()}
    if data is not None:
        sent.payload, sent.body = {"form": "json"}, memoryview(data)


def _only_data(body: bytearray) -> memoryview | None:
    """The data of a body in which there is no string besides the name ``data``, and so no other member.

    That is quickly seen, also of a million numbers; whether it is JSON is seen by whoever decodes it.
    """
    start = _DATA.match(body)
    if start is None or body.find(b'"', start.end()) >= 0:
        return None
    end = len(body) - 1
    while body[end] in b" \t\r\n":
        end -= 1
    return memoryview(body)[start.end() : end] if body[end] == ord("}") else None


def data_alone(body: bytes) -> bytes | memoryview | None:
    """The data of a JSON body that carries nothing else; None for one that carries more, or is none."""
    if body.lstrip()[:1] != b"{":
        return body if body.strip() else None
    try:
        envelope = _ENVELOPE.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return memoryview(envelope["data"]) if len(envelope) == 1 and "data" in envelope else None


def _read_object(body: bytearray) -> dict[str, Any]:
    if not body.strip():
        return {}
    value = loads(body)
    if not isinstance(value, dict):
        raise errors.InvalidInput([errors.Issue("", "The body must be a JSON object of arguments.")])
    return value


def loads(text: Any) -> Any:
    """Decode JSON that is not nested too deeply.

    Raises:
        MalformedBody: It is not valid, or is.
    """
    try:
        value = orjson.loads(memoryview(text))
    except (orjson.JSONDecodeError, RecursionError):
        raise errors.MalformedBody("The body is not valid JSON.") from None
    if _depth(value) > MAX_NESTING:
        raise errors.MalformedBody(f"The JSON is nested more than {MAX_NESTING} levels deep.")
    return value


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, counted only as far as it matters."""
    depth, level = 0, [value]
    while depth <= MAX_NESTING:
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return depth
        depth += 1
    return depth


def form_fields(body: bytes | bytearray) -> list[tuple[str, str]]:
    """The fields of an URL-encoded form, in order.

    Raises:
        MalformedBody: It is none.
    """
    try:
        return parse_qsl(bytes(body).decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise errors.MalformedBody("The form is not valid, or has more than 1000 fields.") from None


async def read_body(request: web.Request, settings: Settings) -> bytearray:
    """The whole body, refused as soon as it is too large."""
    limit = _limit_bytes(request, settings)
    body = bytearray()
    if request.content.is_eof():  # it came along with the head, as small bodies do
        body += request.content.read_nowait()
        if len(body) > limit:
            raise errors.PayloadTooLarge(limit)
        return body
    async with asyncio.timeout(settings.web.body_timeout_s):
        async for piece, _ in request.content.iter_chunks():
            body += piece
            if len(body) > limit:
                raise errors.PayloadTooLarge(limit)
    return body


def _limit_bytes(request: web.Request, settings: Settings) -> int:
    """How long a body may be that is read as a whole; one that is said to be longer is refused at once."""
    limit = max_body_bytes(request, settings.web.max_body_bytes)
    if (request.content_length or 0) > limit:
        raise errors.PayloadTooLarge(limit)
    return limit


def _can_be_lent(request: web.Request) -> bool:
    """Whether the body is large, of a known length, and goes to the worker as it is."""
    length, raw = request.content_length or 0, request.content_type in negotiation.ARRAY_TYPES
    return raw and length >= LARGE_BYTES and "Content-Encoding" not in request.headers


async def _read_lent(request: web.Request, sent: Sent, settings: Settings, loan: Loan) -> None:
    """Read the body to where the worker sees it."""
    _limit_bytes(request, settings)
    length, at = request.content_length or 0, 0
    room = loan.room(length)
    async with asyncio.timeout(settings.web.body_timeout_s):
        async for piece, _ in request.content.iter_chunks():  # as they came: no other way joins nothing
            room[at : at + len(piece)] = piece
            at += len(piece)
    sent.loan = loan
    _take_data(request, room, sent)


# Uploads.


def _is_raw_file(request: web.Request, capability: Capability) -> bool:
    """Whether the body itself is the file."""
    return capability is Capability.PREDICT_FILE and request.content_type != FORM


async def _read_raw_file(request: web.Request, folder: Folder, sent: Sent) -> None:
    suffix = mimetypes.guess_extension(request.content_type) or ""
    path = folder.new_file(f"body{suffix}")
    await uploads.save_body(request, path, uploads.Budget(request))
    if path.stat().st_size:
        sent.payload = {"path": str(path), "filename": path.name, "content_type": request.content_type}


class _Form:
    """Takes the parts of a multipart body. Implements ``uploads.Receiver``."""

    def __init__(
        self, capability: Capability, arguments: Arguments, folder: Folder, sent: Sent, budget: uploads.Budget
    ):
        self._capability = capability
        self._arguments = arguments
        self._folder = folder
        self._sent = sent
        self._budget = budget
        self._charset = "utf-8"

    def begin(self, part: MultipartSegment) -> uploads.Held | uploads.Saved:
        if not part.name or (part.content_type or "").startswith("multipart/"):
            raise errors.MalformedBody("Every part of the multipart body must have a name and no parts of its own.")
        if self._is_data(part) or not part.filename:
            return uploads.Held(self._budget)
        if not self._is_payload(part) and not _takes_file(self._arguments, part.name):
            raise errors.InvalidInput([errors.Issue(f"/{part.name}", "No file is expected here.")])
        return uploads.Saved(self._folder.new_file(part.filename), self._budget)

    def end(self, part: MultipartSegment, content: uploads.Held | uploads.Saved) -> None:
        name, media_type = part.name or "", part.content_type or "application/octet-stream"
        shown = shown_name(part.filename or name)
        if isinstance(content, uploads.Saved):
            path = str(content.path)
            if self._is_payload(part):
                self._sent.payload = {"path": path, "filename": shown, "content_type": media_type}
            else:
                upload = Upload(name=name, filename=path, content_type=media_type, original_filename=shown)
                self._sent.files.setdefault(name, []).append(upload)
        elif self._is_data(part):
            self._sent.body = content.content
            self._sent.payload = {
                "form": _form(media_type),
                "content_type": media_type,
                "charset": part.charset or self._charset,
                "filename": shown,
            }
        else:
            self._take_field(name, content.content, part.charset or self._charset)

    def _take_field(self, name: str, content: bytearray, charset: str) -> None:
        try:
            text = content.decode(charset)
        except (ValueError, LookupError):  # not every codec says what it cannot read by a UnicodeDecodeError
            raise errors.MalformedBody(f"The field {name!r} is not in the charset it claims to be in.") from None
        if name == "_charset_":  # how browsers tell the charset of the other fields, see RFC 7578, section 4.6
            self._charset = text
        else:
            self._sent.fields.add(name, text)

    def _is_payload(self, part: MultipartSegment) -> bool:
        named = part.name in PAYLOAD_FIELDS.get(self._capability, ())
        return named and self._capability is not Capability.PREDICT_URL

    def _is_data(self, part: MultipartSegment) -> bool:
        """Whether it is what the model gets as its data, and not a field that is text."""
        told = bool(part.filename) or part.content_type is not None
        return told and self._is_payload(part) and self._capability is Capability.PREDICT_DATA


def _takes_file(arguments: Arguments, name: str) -> bool:
    argument = arguments.get(name)
    if argument is None:
        return False
    kinds = {argument.kind, argument.items.kind if argument.items else argument.kind}
    return bool(kinds & {Kind.FILE, Kind.ANY})


def _form(media_type: str) -> str:
    """How the worker reads data of a media type."""
    if media_type == "application/json" or media_type.endswith("+json"):
        return "json"
    if media_type == "application/x-npy":
        return "npy"
    return "text" if media_type.startswith("text/") else "bytes"
