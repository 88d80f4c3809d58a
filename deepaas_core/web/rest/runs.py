"""Training runs over the native API: list, read, cancel, and see what they print."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from aiohttp import web

from deepaas_core.domain.training import Run, RunState
from deepaas_core.errors import InvalidInput, Issue
from deepaas_core.web.keys import TRAINER
from deepaas_core.web.rest.answers import json_response

PREFIX = "/api/v1"
RUNS = PREFIX + "/runs"
RUN = RUNS + "/{run}"
DEFAULT_LIMIT, MAX_LIMIT = 50, 500
#: The most of a log that one answer carries; the log on disk may be longer.
MAX_LOG_BYTES = 4 * 2**20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


async def list_runs(request: web.Request) -> web.Response:
    """Runs, newest first; ``next`` is the address of the next page, or null on the last."""
    query = request.query
    limit = _limit(query.get("limit"))
    runs = await request.app[TRAINER].list(
        model=query.get("model"), state=_state(query.get("state")), limit=limit + 1, before=query.get("before")
    )
    page = runs[:limit]
    following = str(request.rel_url.update_query(before=page[-1].id)) if len(runs) > limit else None
    return json_response({"runs": [_listed(run, request) for run in page], "next": following})


async def get_run(request: web.Request) -> web.Response:
    """One run, as it is now."""
    run = await request.app[TRAINER].get(request.match_info["run"])
    return json_response(present_run(run, request))


async def cancel_run(request: web.Request) -> web.Response:
    """End a run; its processes are gone when the answer comes."""
    run = await request.app[TRAINER].cancel(request.match_info["run"])
    return json_response(present_run(run, request))


async def get_run_log(request: web.Request) -> web.Response:
    """What a run has printed: by default the last of it, or the part that a ``Range`` asks for."""
    first, limit = _wanted(request.headers.get("Range", ""))
    wanted = MAX_LOG_BYTES if limit is None else limit
    piece = await request.app[TRAINER].read_log(request.match_info["run"], first, wanted)
    size = piece.size
    if limit is not None and not piece.content:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    headers = {"Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff", "X-Log-Bytes": str(size)}
    if limit is not None:
        headers["Content-Range"] = f"bytes {piece.offset}-{piece.offset + len(piece.content) - 1}/{size}"
    status = 200 if limit is None else 206
    return web.Response(body=piece.content, status=status, content_type="text/plain", charset="utf-8", headers=headers)


def _wanted(text: str) -> tuple[int | None, int | None]:
    """What part of a log a ``Range`` asks for.

    Returns:
        The first byte, None for the last ones; and how many, None if nothing that is understood is asked for.
    """
    asked = _RANGE.fullmatch(text)
    first, last = asked.groups() if asked else ("", "")
    if first and last:
        return int(first), max(0, min(MAX_LOG_BYTES, int(last) - int(first) + 1))
    if first:
        return int(first), MAX_LOG_BYTES
    return None, min(MAX_LOG_BYTES, int(last)) if last else None


def present_run(run: Run, request: web.Request) -> dict[str, Any]:
    """A run as its document."""
    links = {"self": f"{_base(request)}{RUNS}/{run.id}", "log": f"{_base(request)}{RUNS}/{run.id}/log"}
    if not run.state.over:
        links["cancel"] = f"{links['self']}/cancel"
    return {
        "id": run.id,
        "model": run.model,
        "version": run.version,
        "state": str(run.state),
        "arguments": dict(run.arguments),
        "created_at": _time(run.created_at),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "duration_s": run.duration_s,
        "result": run.result,
        "error": run.error and {"kind": run.error.kind, "message": run.error.message, "traceback": run.error.traceback},
        "links": links,
    }


def _listed(run: Run, request: web.Request) -> dict[str, Any]:
    document = present_run(run, request)
    if document["error"]:
        del document["error"]["traceback"]
    return document


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidInput([Issue("/limit", f"Must be a whole number from 1 to {MAX_LIMIT}.")])
    return int(text)


def _state(text: str | None) -> RunState | None:
    try:
        return None if text is None else RunState(text)
    except ValueError:
        raise InvalidInput([Issue("/state", f"Must be one of: {', '.join(RunState)}.")]) from None


def _base(request: web.Request) -> str:
    """What stands before our own paths when the server lives below another path."""
    return request.path[: request.path.index(PREFIX)]


ROUTES = [
    web.get(RUNS, list_runs),
    web.get(RUN, get_run),
    web.delete(RUN, cancel_run),
    web.post(RUN + "/cancel", cancel_run),
    web.get(RUN + "/log", get_run_log),
]
