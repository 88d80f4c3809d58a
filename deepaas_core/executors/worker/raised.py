"""What an exception of a model means: its author's word about the input or the request, or a failure.

Exceptions are known by the names of their classes, so that any version of the libraries that define them will do.
"""

import http
from typing import Any, Optional

from . import encoding, from_fields

MAX_ISSUES = 1000
MAX_TEXT_CHARS = 2000
MAX_DOCUMENT_CHARS = 65_536
_PHRASES = {int(status): status.phrase for status in http.HTTPStatus}


class Refusal(Exception):
    """A call that ended without an answer; ``error`` is what the server is told."""

    def __init__(self, kind: str, **details: Any):
        super().__init__(kind, details)
        self.error: dict[str, Any] = dict(details, kind=kind)


def refusal_for(error: BaseException) -> Refusal:
    """What a raised exception means; may be asked about anything, however broken it is."""
    try:
        if isinstance(error, Refusal):
            return error
        meant = _meant(error)
    except BaseException:  # an exception object may be as broken as it likes; it is then simply the model's failure
        meant = None
    return meant or Refusal("model", **told(error))


def told(error: BaseException) -> dict[str, str]:
    """An exception as plain data, with its type's name under ``type``."""
    described = encoding.describe_exception(error)
    return {"type": described["kind"], "message": described["message"], "traceback": described["traceback"]}


def http_refusal(code: int, reason: str, text: str = "", document: str = "") -> Refusal:
    """A refusal with a status of its author's choice.

    Args:
        code: 400 to 599.
        reason: A short word for it; empty for the one that HTTP has.
        text: What there is to say.
        document: All of it as JSON, if its author said it so.
    """
    reason = " ".join(reason.split()) or _PHRASES.get(code, "Refused")
    refusal = Refusal("refusal", code=code, reason=reason[:MAX_TEXT_CHARS], message=(text or reason)[:MAX_TEXT_CHARS])
    if document and len(document) <= MAX_DOCUMENT_CHARS:
        refusal.error["document"] = document
    return refusal


def is_source_trouble(error: BaseException) -> bool:
    """Whether the other end of a URL is to blame: network errors, not those of the model's own files."""
    local = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
    if isinstance(error, local) or _http_code(error) is not None:
        return False
    if isinstance(error, OSError):
        return True
    module = (type(error).__module__ or "").split(".")[0]
    if module == "asyncio":
        return type(error).__name__ == "TimeoutError"  # no OSError before Python 3.11
    return module in ("requests", "urllib3", "httpx", "httpcore", "aiohttp", "http")


def _meant(error: Any) -> Optional[Refusal]:
    names = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, NotImplementedError):
        return Refusal("missing")
    if from_fields.is_refusal(error):
        return Refusal("invalid", issues=from_fields.flatten(error.messages, "")[:MAX_ISSUES])
    if "InputError" in names:
        argument = getattr(error, "argument", "")
        return Refusal("invalid", issues=[(f"/{argument}" if argument else "", told(error)["message"])])
    code = _http_code(error)
    if code is None or not 400 <= code <= 599:
        return None
    reason, text = _words(error, code)
    return http_refusal(code, reason, text)


def _http_code(error: Any) -> Optional[int]:
    """The status of an HTTP exception: of aiohttp, werkzeug (Flask), Starlette, or any with ``http_status_code``."""
    own = getattr(error, "http_status_code", None)
    if isinstance(own, int) and not isinstance(own, bool):
        return own
    if not any(base.__name__ == "HTTPException" for base in type(error).__mro__):
        return None
    response = getattr(error, "response", None)  # what werkzeug's ``abort`` was given in place of a status
    for place, name in ((error, "status"), (error, "code"), (error, "status_code"), (response, "status_code")):
        code = getattr(place, name, None)
        if isinstance(code, int) and not isinstance(code, bool):
            return code
    return None


def _words(error: Any, code: int) -> "tuple[str, str]":
    """An HTTP exception's short reason, and what else it says."""
    if hasattr(error, "http_status_code"):
        return "", told(error)["message"]
    data = getattr(error, "data", None)  # of flask-restplus
    if isinstance(data, dict) and data.get("message"):
        return str(getattr(error, "name", "")), str(data["message"])
    response = getattr(error, "response", None)
    if response is not None and hasattr(response, "get_data"):
        return "", str(response.get_data(as_text=True))
    if hasattr(error, "description"):  # werkzeug
        return str(error.name or ""), str(error.description or error.name or "")
    if hasattr(error, "detail"):  # Starlette
        return "", error.detail if isinstance(error.detail, str) else encoding.encode(error.detail).decode()
    reason, text = str(getattr(error, "reason", None) or ""), getattr(error, "text", None)
    return reason, "" if not text or text == f"{code}: {reason}" else str(text)
