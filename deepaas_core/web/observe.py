"""What happens around every request: its id, its problem document when it fails, its line in the access log.

Access lines are collected and written a few times a second in one go.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from deepaas_core import errors
from deepaas_core.telemetry import logs
from deepaas_core.telemetry.logs import request_id as current_request_id
from deepaas_core.web import auth, problems
from deepaas_core.web.keys import CATALOG, COUNTS, SETTINGS
from deepaas_core.web.protocol import begun_before

log = logging.getLogger(__name__)
access = logging.getLogger("deepaas_core.access")

REQUEST_ID = "X-Request-ID"
WRITE_EVERY_S = 0.25
#: The status that a request is counted under whose client left before there was one.
CLIENT_GONE = 499
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

#: Which generation of a service answers, e.g. ``credit@v1``.
GENERATION = web.RequestKey("generation", str)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Lines of the access log that are still to be written; there are none if it is off.
ACCESS_LINES = web.AppKey("access_lines", list[str])


@web.middleware
async def observing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, turn whatever rises into a problem document, and note the outcome."""
    begun = begun_before(request)
    started = time.perf_counter() if begun is None else begun.started
    request_id = _request_id(request)
    token = current_request_id.set(request_id)
    try:
        _refuse_foreign_pages(request)
        response = await handler(request)
    except errors.DeepaasError as error:
        response = problems.present(error, request_id, request.app[SETTINGS].web.show_model_errors)
    except web.HTTPException as error:
        response = problems.from_http(error, request, request_id)
    except (asyncio.CancelledError, ConnectionResetError):
        _count(request, CLIENT_GONE, time.perf_counter() - started)
        raise
    except Exception:
        log.exception("unforeseen error")
        response = problems.plain(
            500, "Internal server error", "The server failed; its log has more under this request id.", request_id
        )
    finally:
        current_request_id.reset(token)
    if not response.prepared:
        if response.status == HTTPStatus.UNAUTHORIZED:
            auth.challenge(request, response)
        response.headers[REQUEST_ID] = request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
    seconds = time.perf_counter() - started
    _count(request, response.status, seconds)
    lines = request.app.get(ACCESS_LINES)
    if lines is not None:
        length = response.body_length if response.prepared else _length(response)
        path = request.rel_url.raw_path
        line = access_line(request.remote, request.method, path, response.status, length, seconds, request_id)
        lines.append(f"{line} {request[GENERATION]}" if GENERATION in request else line)
    return response


def access_line(
    remote: str | None, method: str, path: str, status: int, length: int, seconds: float, request_id: str
) -> str:
    """What the access log says of one request."""
    return f"{remote} {method} {path} {status} {length} {seconds * 1000:.1f}ms {request_id}"


def _count(request: web.Request, status: int, seconds: float) -> None:
    """Count the request under labels that no client can make up."""
    match = request.match_info
    resource = match.route.resource
    if resource is None:
        request.app[COUNTS].request("", "", "", status, seconds)
        return
    model = match.get("model", "")
    if model and not request.app[CATALOG].serves(model):
        model = ""
    model = model or request.get(GENERATION, "")
    request.app[COUNTS].request(request.method, resource.canonical, model, status, seconds)


def _refuse_foreign_pages(request: web.Request) -> None:
    """Refuse what a foreign page makes a browser send: a form post needs nobody's leave to cross origins."""
    if request.method not in _SAFE_METHODS:
        origin = request.headers.get("Origin")
        if origin is not None and _host(origin) != request.host:
            raise errors.CrossOrigin


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket at the wrong place
        return None


async def access_log(app: web.Application) -> AsyncIterator[None]:
    """Write the collected access lines while the application runs, and the last ones at its end."""
    if not app[SETTINGS].web.access_log:
        yield
        return
    lines = app[ACCESS_LINES] = []
    writing = asyncio.create_task(_write_lines(lines))
    yield
    writing.cancel()
    _write(lines)


async def _write_lines(lines: list[str]) -> None:
    while True:
        await asyncio.sleep(WRITE_EVERY_S)
        _write(lines)


def _write(lines: list[str]) -> None:
    logs.write_lines(access, lines)
    lines.clear()


def _length(response: web.StreamResponse) -> int:
    return response.content_length or 0


def _request_id(request: web.Request) -> str:
    """The caller's own id where it is a plain word, else a new one."""
    given = request.headers.get(REQUEST_ID)
    if given is not None and _USABLE_ID.fullmatch(given):
        return given
    return os.urandom(8).hex()
