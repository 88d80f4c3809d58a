"""Errors as problem documents (RFC 9457): the one table from an error of the domain to a status."""

from __future__ import annotations

import logging
import re
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.web.routes import SEE, get, partly

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[errors.DeepaasError], int] = {
    errors.MalformedBody: 400,
    errors.InvalidInput: 422,
    errors.PayloadTooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.NotAcceptable: 406,
    errors.AddressRefused: 422,
    errors.ArchiveRefused: 422,
    errors.DatasetUnusable: 422,
    errors.RequestTimeout: 408,
    errors.CrossOrigin: 403,
    errors.InvalidRequest: 400,
    errors.NotFound: 404,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooManyRequests: 429,
    errors.Conflict: 409,
    errors.Unavailable: 503,
    errors.CapabilityMissing: 501,
    errors.ModelRefusal: 500,
    errors.ModelTimeout: 504,
    errors.QueryTimeout: 504,
    errors.SourceUnavailable: 502,
    errors.InfrastructureFailed: 502,
    errors.ModelFailure: 500,
    errors.GenerationFailed: 409,
    errors.DeepaasError: 500,
}


def status_of(error: errors.DeepaasError | type[errors.DeepaasError]) -> int:
    """The HTTP status of an error: the one a model chose, or that of its class or the nearest above that has one."""
    if isinstance(error, errors.ModelRefusal):
        return error.code
    kind = error if isinstance(error, type) else type(error)
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def slug(kind: type) -> str:
    """A class's name as the last part of a problem's ``type``, e.g. ``model-not-found``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


def describe(error: errors.DeepaasError, request_id: str, show_model_errors: bool = False) -> dict[str, Any]:
    """An error as a problem document.

    Args:
        error: What went wrong.
        request_id: Under which the log has more.
        show_model_errors: Whether the text of a model's exception may be told to clients.
    """
    document: dict[str, Any] = {
        "type": f"/problems/{slug(type(error))}",
        "title": error.title(),
        "status": status_of(error),
        "detail": str(error) or error.title(),
        "request_id": request_id,
    }
    if isinstance(error, errors.InvalidInput):
        document["detail"] = "One input is not usable." if len(error.issues) == 1 else "Several inputs are not usable."
    if isinstance(error, errors.InvalidInput) or error.issues:
        document["errors"] = [{"pointer": issue.pointer, "detail": issue.detail} for issue in error.issues]
    if isinstance(error, errors.DefinitionRefused):
        document["detail"] = "The folder does not describe a service that can be used."
        document["errors"] = [{"pointer": "", **asdict(fault)} for fault in error.faults]
    if isinstance(error, errors.RunElsewhere):
        document["server"] = error.address or None
    if isinstance(error, errors.CapabilityMissing):
        document["function"] = error.function
    if isinstance(error, errors.ModelFailure) and show_model_errors and error.message:
        document["detail"] = f"{error} {error.message}"
    return document


def present(error: errors.DeepaasError, request_id: str, show_model_errors: bool = False) -> web.Response:
    """Answer with an error's problem document; see ``describe``."""
    headers = {}
    if isinstance(error, errors.Unavailable | errors.TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    response = document_response(describe(error, request_id, show_model_errors), headers)
    if isinstance(error, errors.PayloadTooLarge | errors.RequestTimeout):
        response.force_close()  # the rest of the body is still on its way, and is not wanted
    return response


def plain(status: int, title: str, detail: str, request_id: str, **headers: str) -> web.Response:
    """A problem that HTTP itself knows: no such route, wrong method, a request that cannot be read."""
    document = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return document_response(document, headers)


def document_response(document: dict[str, Any], headers: dict[str, str]) -> web.Response:
    """A problem document as a response of its own status."""
    try:
        body = orjson.dumps(document)
    except orjson.JSONEncodeError:  # text of a client's with lone surrogates in it
        body = orjson.dumps({**document, "detail": ascii(document["detail"]), "errors": []})
    return web.Response(body=body, status=document["status"], content_type=MEDIA_TYPE, headers=headers)


def from_http(error: web.HTTPException, request: web.Request, request_id: str) -> web.Response:
    """The problem document of an answer that aiohttp itself gave."""
    details = {
        404: f"There is nothing at {request.path}.",
        405: f"{request.method} is not possible at {request.path}.",
        413: "The body of the request is larger than this server takes.",
    }
    response = plain(error.status, error.reason, details.get(error.status, error.reason), request_id)
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


async def get_problem(request: web.Request) -> web.Response:
    """Say what a problem type means, for whoever follows its ``type``."""
    for kind in _kinds(errors.DeepaasError):
        if slug(kind) == request.match_info["slug"]:
            return web.json_response({"type": request.path, "title": kind.title(), "status": status_of(kind)})
    raise web.HTTPNotFound


def _kinds(kind: type[errors.DeepaasError]) -> list[type[errors.DeepaasError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _kinds(child))]


ROUTES = [get("/problems/{slug}", get_problem, partly(SEE))]
