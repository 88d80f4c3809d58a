"""Training runs over the native API: list, read, compare, cancel, try again, delete, and see what they print."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from aiohttp import web

from deepaas_core.domain.access import Right
from deepaas_core.domain.model import Capability
from deepaas_core.domain.reports import Condition, Said
from deepaas_core.domain.training import Run, RunState, is_run_id
from deepaas_core.errors import InvalidInput, Issue, RunNotFound, StoreUnavailable
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web import negotiation
from deepaas_core.web.auth import caller
from deepaas_core.web.inputs import read_object
from deepaas_core.web.keys import CATALOG, OBSERVER, TRAINER
from deepaas_core.web.observe import REQUEST_ID
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.routes import READ, TRAIN, delete, get, get_alone, partly, post
from deepaas_core.web.times import moment

PREFIX = "/api/v1"
RUNS = PREFIX + "/runs"
RUN = RUNS + "/{run}"
PROMOTE_HEADER = "X-Promote-If"
DEFAULT_LIMIT, MAX_LIMIT = 50, 500
_TABLES = (negotiation.JSON, "text/csv")
#: The most of a log that one answer carries; the log on disk may be longer.
MAX_LOG_BYTES = 4 * 2**20
_LONG_QUEUE = 1000
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


async def list_runs(request: web.Request) -> web.Response:
    """Runs, newest first; ``next`` is the address of the next page, or null on the last."""
    query = request.query
    limit = whole_number("limit", query.get("limit"), DEFAULT_LIMIT, MAX_LIMIT)
    runs = await request.app[TRAINER].list(
        model=query.get("model"),
        state=_state(query.get("state")),
        limit=limit + 1,
        before=query.get("before"),
        since=moment("since", query.get("since")),
        until=moment("until", query.get("until")),
        models=caller(request).names(Right.READ),
    )
    page = runs[:limit]
    following = str(request.rel_url.update_query(before=page[-1].id)) if len(runs) > limit else None
    documents = await present_runs(page, request)
    for document in documents:
        if document["error"]:
            del document["error"]["traceback"]
    return json_response({"runs": documents, "next": following})


async def get_run(request: web.Request) -> web.Response:
    """One run, as it is now."""
    run = await request.app[TRAINER].get(request.match_info["run"])
    [document] = await present_runs([run], request)
    return json_response(document)


async def cancel_run(request: web.Request) -> web.Response:
    """End a run; its processes are gone when the answer comes."""
    run = await request.app[TRAINER].cancel(request.match_info["run"])
    return json_response(present_run(run, request))


async def delete_run(request: web.Request) -> web.Response:
    """End a run; or, with ``purge``, delete one that is over, with everything it left."""
    if not yes_or_no("purge", request.query.get("purge")):
        return await cancel_run(request)
    await request.app[TRAINER].purge(request.match_info["run"])
    return web.Response(status=204)


async def retry_run(request: web.Request) -> web.Response:
    """Start a run like an earlier one, with the same arguments but for those in the body."""
    asked = await read_object(request)
    changes, resume = asked.pop("arguments", {}), asked.pop("resume", False)
    if asked or not isinstance(changes, dict) or not isinstance(resume, bool):
        raise InvalidInput([Issue("", "Only `arguments` (an object) and `resume` (true or false) can be given.")])
    trainer = request.app[TRAINER]
    old = await trainer.get(request.match_info["run"])
    model = request.app[CATALOG].offering(old.model, Capability.TRAIN)
    run = await trainer.retry(old.id, model, changes, resume, read_condition(request))
    return await accepted(run, request)


async def accepted(run: Run, request: web.Request) -> web.Response:
    """The answer to who has asked for a run."""
    document = present_run(run, request)
    with suppress(StoreUnavailable):  # it is recorded, and must not be asked for again because of its place
        [document] = await present_runs([run], request)
    return json_response(document, status=202, Location=f"{base_of(request)}{RUNS}/{run.id}")


async def compare_runs(request: web.Request) -> web.Response:
    """Arguments and final metrics of several runs side by side, in the order in which they were asked for."""
    ids = [run_id for text in request.query.getall("ids", []) for run_id in text.split(",") if run_id]
    if not 1 <= len(ids) <= MAX_LIMIT:
        raise InvalidInput([Issue("/ids", f"From 1 to {MAX_LIMIT} ids of runs are needed, separated by commas.")])
    listed = await request.app[TRAINER].list(
        ids=[each for each in ids if is_run_id(each)], models=caller(request).names(Right.READ)
    )
    found = {run.id: run for run in listed}
    for run_id in ids:
        if run_id not in found:
            raise RunNotFound(run_id)
    rows: list[dict[str, Any]] = [
        {
            "id": run.id,
            "model": run.model,
            "version": run.version,
            "state": str(run.state),
            "created_at": iso(run.created_at),
            "duration_s": run.duration_s,
            "arguments": dict(run.arguments),
            "metrics": dict((await request.app[OBSERVER].said(run)).metrics),
        }
        for run in (found[run_id] for run_id in dict.fromkeys(ids))
    ]
    chosen = request.query.get("format") or negotiation.choose(request.headers.get("Accept", ""), _TABLES)
    if chosen in ("csv", _TABLES[1]):
        return web.Response(text=_table(rows), content_type=_TABLES[1], charset="utf-8")
    differing = [
        name
        for name in dict.fromkeys(name for row in rows for name in row["arguments"])
        if len({json.dumps(row["arguments"].get(name), sort_keys=True) for row in rows}) > 1
    ]
    return json_response({"runs": rows, "differing": differing})


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """The same as CSV, with a column for each argument and each metric."""
    plain = [name for name in rows[0] if name not in ("arguments", "metrics")]
    groups = {
        group: list(dict.fromkeys(name for row in rows for name in row[group])) for group in ("arguments", "metrics")
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*plain, *(f"{group}.{name}" for group, names in groups.items() for name in names)])
    for row in rows:
        cells = [_cell(row[group].get(name)) for group, names in groups.items() for name in names]
        writer.writerow([*(row[name] for name in plain), *cells])
    return text.getvalue().encode("utf-8", "replace").decode()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list | bool) else value


def read_condition(request: web.Request) -> Condition | None:
    """What a run must reach for its model to be served, by the header ``X-Promote-If``."""
    text = request.headers.get(PROMOTE_HEADER)
    return None if text is None else Condition.parse(text)


async def get_run_log(request: web.Request) -> web.StreamResponse:
    """What a run has printed: by default the last of it, or the part that a ``Range`` asks for.

    With ``follow`` the answer goes on with what the run prints from now on, and ends when the run is over.
    """
    first, limit = _wanted(request.headers.get("Range", ""))
    if yes_or_no("follow", request.query.get("follow")):
        return await _follow_log(request, first)
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


async def _follow_log(request: web.Request, first: int | None) -> web.StreamResponse:
    pieces = request.app[OBSERVER].follow_log(request.match_info["run"], first, MAX_LOG_BYTES // 16)
    await request.app[TRAINER].at_hand(request.match_info["run"])
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Accel-Buffering": "no",
        REQUEST_ID: request_id.get(),
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async for piece in pieces:
        await response.write(piece.content)
    await response.write_eof()
    return response


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


async def present_runs(runs: Sequence[Run], request: web.Request) -> list[dict[str, Any]]:
    """Runs as their documents, with what they have told by now and their places in the queue."""
    queued = any(run.state is RunState.QUEUED for run in runs)
    positions = await request.app[TRAINER].positions() if queued else {}
    said = [await request.app[OBSERVER].said(run) for run in runs]
    return [present_run(run, request, told, _place(run, positions)) for run, told in zip(runs, said, strict=True)]


def _place(run: Run, positions: Mapping[str, int]) -> int | None:
    if run.state is not RunState.QUEUED:
        return None
    # One that waits no more since it was read was the next; of a queue this long, the end is not told.
    return positions.get(run.id, 1 if len(positions) < _LONG_QUEUE else None)


def present_run(
    run: Run, request: web.Request, said: Said | None = None, queue_position: int | None = None
) -> dict[str, Any]:
    """A run as its document.

    Args:
        run: The run.
        request: Whose answer it is for.
        said: What it has told by now; by default what its record has.
        queue_position: Its place in the queue, from 1.
    """
    said = said or run.said
    here = f"{base_of(request)}{RUNS}/{run.id}"
    links = {"self": here}
    links |= {name: f"{here}/{name}" for name in ("log", "events", "metrics", "artifacts")}
    links |= {"plot": f"{here}/plot.svg", "retry": f"{here}/retry"}
    if not run.state.over:
        links["cancel"] = f"{here}/cancel"
    progress, condition = said.progress, run.promote_if
    return {
        "id": run.id,
        "model": run.model,
        "version": run.version,
        "state": str(run.state),
        "queue_position": queue_position,
        "arguments": dict(run.arguments),
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "duration_s": run.duration_s,
        "progress": progress and {"done": progress.done, "total": progress.total, "fraction": progress.fraction},
        "metrics": dict(said.metrics),
        "result": run.result,
        "error": run.error and {"kind": run.error.kind, "message": run.error.message, "traceback": run.error.traceback},
        "retry_of": run.retry_of,
        "promote_if": condition and {"condition": str(condition), "met": run.promotable if run.state.over else None},
        "links": links,
    }


def iso(at: datetime | None) -> str | None:
    """A time as all our documents have it: ISO 8601, UTC, with a Z."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def whole_number(name: str, text: str | None, default: int, most: int) -> int:
    """A query parameter that counts something, from 1 on.

    Raises:
        InvalidInput: It does not.
    """
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise InvalidInput([Issue(f"/{name}", f"Must be a whole number from 1 to {most}.")])
    return int(text)


def yes_or_no(name: str, text: str | None) -> bool:
    """A parameter that is true or false, which it is where it is not given.

    Raises:
        InvalidInput: It is neither.
    """
    if text is not None and text.lower() not in ("true", "false", "1", "0"):
        raise InvalidInput([Issue(f"/{name}", "Must be true or false.")])
    return text is not None and text.lower() in ("true", "1")


def _state(text: str | None) -> RunState | None:
    try:
        return None if text is None else RunState(text)
    except ValueError:
        raise InvalidInput([Issue("/state", f"Must be one of: {', '.join(RunState)}.")]) from None


def base_of(request: web.Request) -> str:
    """What stands before our own paths when the server lives below another path."""
    return request.path[: request.path.index(PREFIX)]


ROUTES = [
    get(RUNS, list_runs, partly(READ)),
    get(RUNS + "/compare", compare_runs, partly(READ)),
    get(RUN, get_run, READ),
    delete(RUN, delete_run, TRAIN),
    post(RUN + "/retry", retry_run, TRAIN),
    post(RUN + "/cancel", cancel_run, TRAIN),
    get_alone(RUN + "/log", get_run_log, READ),
]
