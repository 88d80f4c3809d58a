"""What the function of a script says besides its result: a status, a media type, headers.

Known by the name of its class, ``Response``, so that a script need not import ours; those of aiohttp, Flask and
Starlette will do as well. Which status and headers are allowed, the server decides.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from . import encoding
from .raised import Refusal, http_refusal

JSON = "application/json"
_MEDIA_TYPE = re.compile(
    r"[\w.+-]+/[\w.+-]+(\s*;\s*[\w.+-]+=[\w.+:'-]+|\s*;\s*[\w.+-]+=\"[^\"\\\x00-\x1f]*\")*", re.ASCII
)
#: What frameworks put among the headers by themselves, and the server says by itself.
_BY_ITSELF = ("content-length", "content-type")


class Response(NamedTuple):
    """A result and what goes with it.

    Attributes:
        body: The result; bytes, if there is a media type.
        media_type: None for JSON.
    """

    body: Any
    status: int
    media_type: Optional[str]
    headers: list[tuple[str, str]]


def opened(value: Any) -> Optional[Response]:
    """What a response consists of; None if the value is none.

    Raises:
        Refusal: It is one that cannot be sent.
    """
    names = {base.__name__ for base in type(value).__mro__}
    if "Response" not in names:
        return None
    if hasattr(value, "get_data"):  # werkzeug, Flask
        value.direct_passthrough = False
        return _of_framework(value, value.get_data(), value.status_code, value.content_type)
    if "StreamResponse" in names and isinstance(value.body, (bytes, bytearray, type(None))):  # aiohttp
        return _of_framework(value, value.body or b"", value.status, value.headers.get("Content-Type"))
    if hasattr(value, "media_type") and isinstance(getattr(value, "body", None), bytes):  # Starlette
        return _of_framework(value, value.body, value.status_code, value.headers.get("content-type"))
    return _of_ours(value) if hasattr(value, "body") and hasattr(value, "status") else None


def _of_framework(value: Any, body: Any, status: int, content_type: Optional[str]) -> Response:
    headers = [(_text(name), _text(text)) for name, text in value.headers.items() if name.lower() not in _BY_ITSELF]
    return _with_content(bytes(body), status, content_type or "application/octet-stream", headers)


def _of_ours(value: Any) -> Response:
    given = getattr(value, "headers", None) or ()
    headers = [pair for one in (given.items() if isinstance(given, Mapping) else given) for pair in _spread(one)]
    content_type = getattr(value, "content_type", None)
    if content_type is None or (_is_json(content_type) and not isinstance(value.body, (bytes, bytearray))):
        return Response(value.body, _status(value.status), None, headers)
    body = value.body.encode() if isinstance(value.body, str) else value.body
    if body is None:
        body = b""
    if not isinstance(body, (bytes, bytearray, memoryview)):
        kind = type(body).__name__
        raise Refusal("result", message=f"a body of the type {content_type} must be text or bytes, not {kind}")
    return _with_content(bytes(body), _status(value.status), content_type, headers)


def _spread(pair: Any) -> list[tuple[str, str]]:
    """A header, or with several texts, one for each of them."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise Refusal("result", message="its headers must be pairs of name and text")
    name, texts = pair
    if not isinstance(name, str):
        raise Refusal("result", message=f"the name of a header must be text, not {name!a:.60}")
    return [(_text(name), _text(text)) for text in (texts if isinstance(texts, (tuple, list)) else [texts])]


def _status(given: Any) -> int:
    try:
        status = int(given)
    except (TypeError, ValueError):
        status = 0
    if not 200 <= status <= 599:
        raise Refusal("result", message=f"its status must be a whole number from 200 to 599, not {given!a:.60}")
    return status


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _with_content(body: bytes, status: int, content_type: Any, headers: list[tuple[str, str]]) -> Response:
    if not isinstance(content_type, str) or not _MEDIA_TYPE.fullmatch(content_type):
        raise Refusal("result", message=f"{content_type!a:.100} is no media type")
    if not _is_json(content_type):
        return Response(body, status, content_type, headers)
    if not body:
        return Response(None, status, None, headers)
    try:
        return Response(json.loads(body), status, None, headers)
    except ValueError:
        raise Refusal("result", message="it is a response that says it is JSON, and is not") from None


def _is_json(content_type: Any) -> bool:
    media_type = str(content_type).partition(";")[0].strip().lower()
    return media_type == JSON


def refusal(response: Response) -> Refusal:
    """What a response with a status of 400 or more says."""
    body = response.body
    text = body if isinstance(body, str) else encoding.encode(body).decode()
    return http_refusal(response.status, "", body.decode("utf-8", "replace") if isinstance(body, bytes) else text)
