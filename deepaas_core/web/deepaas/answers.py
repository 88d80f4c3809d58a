"""Answers in DEEPaaS's words: what an error becomes, and how results are sent."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from deepaas_core import errors
from deepaas_core.web.deepaas.values import OF_SCHEMA
from deepaas_core.web.keys import CATALOG, SETTINGS
from deepaas_core.web.problems import status_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Say = Callable[[int, str, str], web.Response]
_SCHEMA_COMPLAINT = "it does not fit the model's own response schema"


def json_response(document: Any, status: int = 200) -> web.Response:
    """A document as JSON."""
    return json_body(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS), status)


def json_body(body: bytes, status: int = 200) -> web.Response:
    """What is JSON already."""
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def switched_off() -> web.Response:
    """Part of the API that the operator does not offer."""
    return _plain(402, "Payment Required", "")


def redirected(status: int, address: str) -> web.Response:
    """Where to go instead."""
    response = _plain(status, "", "")
    response.headers["Location"] = address
    return response


def speaking(prefixes: Sequence[str], flat: Collection[str]) -> Middleware:
    """A middleware that puts errors below some paths into DEEPaaS's words.

    Args:
        prefixes: The paths.
        flat: Those of them below which errors are ``{"message": …}``, as version 0 had it.
    """

    def _below(path: str) -> str | None:
        return next((one for one in prefixes if path == one or path.startswith(one + "/")), None)

    @web.middleware
    async def speak(request: web.Request, handler: Handler) -> web.StreamResponse:
        spoken = _below(request.path)
        if spoken is None:
            merged = re.sub("//+", "/", request.rel_url.raw_path) if "//" in request.path else ""
            if _below(merged) is not None:
                return redirected(308, str(request.rel_url.with_path(merged, encoded=True, keep_query=True)))
            return await handler(request)
        say = _message if spoken in flat else _plain
        try:
            return await handler(request)
        except errors.DeepaasError as error:
            return present(error, say, request.app[SETTINGS].web.show_model_errors)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            if error.status == 405 and not _is_there(request):
                return say(404, "", "")
            response = say(error.status, error.reason, "")
            for name in ("Allow", "Retry-After"):
                if name in error.headers:
                    response.headers[name] = error.headers[name]
            return response

    return speak


def _is_there(request: web.Request) -> bool:
    """Whether the model of a path is there, whatever was to be done with it."""
    named = re.search("/models/([^/]+)", request.path)
    return named is None or request.app[CATALOG].serves(named[1])


def present(error: errors.DeepaasError, say: Say, show_model_errors: bool) -> web.Response:
    """An error as DEEPaaS's clients know it.

    Args:
        error: What went wrong.
        say: Makes a response of a status, its reason, and what there is to say.
        show_model_errors: Whether the text of a model's exception may be told to clients.
    """
    match error:
        case errors.InvalidInput():
            return _bare_json(422, messages(error.issues))
        case errors.MalformedBody():
            return _bare_json(400, {"json": ["Invalid JSON body."]}) if "JSON" in str(error) else _said(error, say)
        case errors.ModelRefusal():
            text = "" if error.text == error.reason else error.text
            if error.document and say is _message:
                return _bare_json(error.code, orjson.loads(error.document))
            return say(error.code, error.reason, text)
        case errors.CapabilityMissing():
            return say(501, f"Not implemented by underlying model (loaded {error.model!r})", "")
        case errors.PayloadTooLarge():
            response = say(413, "", f"Maximum request body size {error.limit_bytes} exceeded.")
            response.force_close()
            return response
        case errors.NotFound():
            return say(404, "", "")
        case errors.UnencodableResult() if error.message.startswith(_SCHEMA_COMPLAINT):
            return say(500, "", f"500: ERROR validating model response, check server logs.\n\n{error.message}")
        case errors.ModelFailure():
            shown = f" {error.message}" if show_model_errors and error.message else ""
            return say(500, "", f"500 Internal Server Error\n\n{error}{shown}")
    return _said(error, say)


def _said(error: errors.DeepaasError, say: Say) -> web.Response:
    status = status_of(error)
    response = say(status, "", f"{status}: {str(error) or error.title()}")
    if isinstance(error, errors.Unavailable | errors.TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.RequestTimeout):
        response.force_close()
    return response


def messages(issues: Sequence[errors.Issue]) -> dict[str, Any]:
    """Issues as marshmallow groups its messages: by name, and inside lists by index."""
    found: dict[str, Any] = {}
    for issue in issues:
        *path, last = [_unescaped(step) for step in issue.pointer.split("/")[1:]] or ["_schema"]
        if issue.detail == OF_SCHEMA and last != "_schema":
            path, last = [*path, last], "_schema"
        place = found
        for step in path:
            below = place.setdefault(step, {})
            if isinstance(below, list):  # something is wrong with the whole, too
                below = place[step] = {"_schema": below}
            place = below
        texts = place.setdefault(last, [])
        if isinstance(texts, dict):
            texts = texts.setdefault("_schema", [])
        texts.append(issue.detail)
    return found


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _bare_json(status: int, document: Any) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _plain(status: int, reason: str, text: str) -> web.Response:
    reason = reason or HTTPStatus(status).phrase
    return web.Response(text=text or f"{status}: {reason}", status=status, reason=reason)


def _message(status: int, reason: str, text: str) -> web.Response:
    """As version 0 said it: JSON with one member."""
    said = text.removeprefix(f"{status}: ") or reason or HTTPStatus(status).phrase
    return web.Response(body=orjson.dumps({"message": said}), status=status, content_type="application/json")
