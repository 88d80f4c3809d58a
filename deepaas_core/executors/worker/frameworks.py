"""What models written for a web framework return and look at: responses, a body with its status, ``flask.request``."""

import contextlib
import functools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Optional

from . import encoding
from .raised import Refusal, http_refusal

_JSON = "application/json"
_THE_SERVERS = frozenset(
    ["connection", "content-encoding", "content-length", "content-type", "date", "server", "transfer-encoding"]
)
#: What needs no second look.
_PLAIN = frozenset((dict, list, str, int, float, bool, type(None)))


class Body(NamedTuple):
    """The bytes of a response, and their media type."""

    content: bytes
    media_type: str


class Undressed(NamedTuple):
    """A plain value, or a ``Body``, and what a response says besides: its status, unless that is 200, and headers."""

    value: Any
    status: Optional[int] = None
    headers: tuple[tuple[str, str], ...] = ()


def result_of(value: Any, first_generation: bool) -> Undressed:
    """What a hook has returned without the clothes of a web framework.

    Args:
        value: What it returned.
        first_generation: Whether the hook has the form that DEEPaaS 0.x called, where a pair is a body and its status.

    Raises:
        Refusal: The status says that there is no answer.
    """
    if type(value) in _PLAIN:
        return Undressed(value)
    if first_generation and isinstance(value, tuple) and len(value) in (2, 3) and _is_status(value[1]):
        if value[1] >= 400:
            raise http_refusal(value[1], "", _text(value[0]), encoding.encode(value[0]).decode())
        headers = dict(value[2] or {}).items() if len(value) == 3 else ()
        return _unwrapped(value[0])._replace(status=_other_than_200(value[1]), headers=_sendable(headers))
    return _unwrapped(value)


@contextlib.contextmanager
def request_around(values: Mapping[str, Any]) -> Iterator[None]:
    """Let ``flask.request`` be there for a model that has Flask; it knows the arguments, and nobody's headers."""
    flask = sys.modules["flask"]
    plain = {name: value for name, value in values.items() if isinstance(value, (str, int, float))}
    with _application(flask).test_request_context("/", method="POST", query_string=plain):
        yield


@functools.lru_cache(maxsize=1)
def _application(flask: Any) -> Any:
    return flask.Flask("deepaas")


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599


def _other_than_200(status: int) -> Optional[int]:
    return status if status > 200 else None


def _sendable(headers: Iterable[tuple[Any, Any]]) -> tuple[tuple[str, str], ...]:
    """The headers that are the author's own; every response of a framework has others, which our server sets anew."""
    pairs = ((str(name), str(text)) for name, text in headers)
    return tuple(
        (name, text)
        for name, text in pairs
        if name.lower() not in _THE_SERVERS and not name.lower().startswith("access-control-")
    )


def _unwrapped(value: Any) -> Undressed:
    names = {base.__name__ for base in type(value).__mro__}
    if "Response" not in names:
        return Undressed(value)
    if hasattr(value, "get_data") and _is_status(getattr(value, "status_code", None)):  # werkzeug, Flask
        value.direct_passthrough = False
        opened = _opened(value.get_data(), value.status_code, value.mimetype)
        return Undressed(opened, _other_than_200(value.status_code), _sendable(value.headers.items()))
    is_aiohttp = "StreamResponse" in names and _is_status(getattr(value, "status", None))
    if is_aiohttp and isinstance(value.body, (bytes, bytearray, type(None))):
        opened = _opened(bytes(value.body or b""), value.status, value.content_type)
        return Undressed(opened, _other_than_200(value.status), _sendable(value.headers.items()))
    return Undressed(value)


def _opened(content: bytes, status: int, media_type: Optional[str]) -> Any:
    media_type = media_type or "application/octet-stream"
    is_json = media_type == _JSON or media_type.endswith("+json")
    if status >= 400:
        text, document = content.decode("utf-8", "replace"), ""
        with contextlib.suppress(ValueError):
            if is_json:
                text, document = _text(json.loads(text)), text
        raise http_refusal(status, "", text, document)
    if not is_json:
        return Body(content, media_type)
    try:
        return json.loads(content)
    except ValueError:
        raise Refusal("result", message="it is a response that says it is JSON, and is not") from None


def _text(body: Any) -> str:
    """What the body of a refusal says."""
    if isinstance(body, Mapping) and isinstance(body.get("message"), str):
        return str(body["message"])
    if isinstance(body, str):
        return body
    return encoding.encode(body).decode()
