"""What models written for a web framework return and look at: responses, a body with its status, ``flask.request``."""

import contextlib
import functools
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

from . import encoding
from .raised import Refusal, http_refusal

_JSON = "application/json"
#: What needs no second look.
_PLAIN = frozenset((dict, list, str, int, float, bool, type(None)))


class Body(NamedTuple):
    """The bytes of a response, and their media type."""

    content: bytes
    media_type: str


def result_of(value: Any, first_generation: bool) -> Any:
    """What a hook has returned without the clothes of a web framework.

    Args:
        value: What it returned.
        first_generation: Whether the hook has the form that DEEPaaS 0.x called, where a pair is a body and its status.

    Returns:
        A plain value, or a ``Body``.

    Raises:
        Refusal: The status says that there is no answer.
    """
    if type(value) in _PLAIN:
        return value
    if first_generation and isinstance(value, tuple) and len(value) in (2, 3) and _is_status(value[1]):
        if value[1] >= 400:
            raise http_refusal(value[1], "", _text(value[0]))
        value = value[0]
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


def _unwrapped(value: Any) -> Any:
    names = {base.__name__ for base in type(value).__mro__}
    if "Response" not in names:
        return value
    if hasattr(value, "get_data") and _is_status(getattr(value, "status_code", None)):  # werkzeug, Flask
        value.direct_passthrough = False
        return _opened(value.get_data(), value.status_code, value.mimetype)
    is_aiohttp = "StreamResponse" in names and _is_status(getattr(value, "status", None))
    if is_aiohttp and isinstance(value.body, (bytes, bytearray, type(None))):
        return _opened(bytes(value.body or b""), value.status, value.content_type)
    return value


def _opened(content: bytes, status: int, media_type: Optional[str]) -> Any:
    media_type = media_type or "application/octet-stream"
    is_json = media_type == _JSON or media_type.endswith("+json")
    if status >= 400:
        text = content.decode("utf-8", "replace")
        with contextlib.suppress(ValueError):
            text = _text(json.loads(text)) if is_json else text
        raise http_refusal(status, "", text)
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
