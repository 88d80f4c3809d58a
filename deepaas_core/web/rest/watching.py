"""Watching training runs over the native API: live events, metrics, learning curves, and the files they keep."""

from __future__ import annotations

import asyncio
import csv
import io
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from urllib.parse import quote, unquote_to_bytes

import orjson
from aiohttp import web

from deepaas_core.domain.reports import Event, is_number
from deepaas_core.domain.training import Run
from deepaas_core.errors import InvalidInput, Issue, NotAcceptable
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web import negotiation
from deepaas_core.web.keys import OBSERVER, TRAINER
from deepaas_core.web.observe import REQUEST_ID
from deepaas_core.web.rest import curve
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.runs import RUN, base_of, iso, present_runs, whole_number
from deepaas_core.web.routes import READ, get, get_alone

DEFAULT_REPORTS, MAX_REPORTS = 1000, 10_000
DEFAULT_POINTS, MAX_POINTS = 400, 5000
#: A page of metrics ends soon after this, however few reports are on it.
MAX_PAGE_BYTES = 4 * 2**20
#: An event stream says something this often, so that nobody on the way takes it for dead.
STILL_HERE_S = 10.0
#: What an event stream's last message is called; who comes back with it has seen everything.
END = "end"
CSV = "text/csv"
#: Longer results are left out of events, as they are out of lists; the run itself has them.
MAX_RESULT_BYTES = 64 * 1024
_AXES = ("step", "epoch", "iteration", "batch")


async def get_events(request: web.Request) -> web.StreamResponse:
    """What a run tells, as it tells it; ``Last-Event-ID`` goes on from there."""
    seen = request.headers.get("Last-Event-ID", request.query.get("after", "0"))
    if seen == END:  # 204 is how a browser is told not to come back
        await request.app[TRAINER].get(request.match_info["run"])
        return web.Response(status=204)
    watching = request.app[OBSERVER].watch(request.match_info["run"], _place(seen))
    first = await anext(watching)  # what cannot be watched is refused before the stream begins
    response = await _stream(request, "text/event-stream")
    try:
        await response.write(b"retry: 1000\n\n")
        last = await _send_events(response, first, watching, request)
    finally:
        await watching.aclose()  # type: ignore[attr-defined]
    if last:
        await response.write_eof()
    return response


async def _send_events(
    response: web.StreamResponse,
    first: Run | Sequence[Event],
    watching: AsyncIterator[Run | Sequence[Event]],
    request: web.Request,
) -> bool:
    upcoming: asyncio.Task[Run | Sequence[Event]] | None = None
    try:
        message: Run | Sequence[Event] | None = first
        while True:
            if message is not None:
                await response.write(await _message(message, request))
            if upcoming is None:
                upcoming = asyncio.ensure_future(anext(watching))
            done, _ = await asyncio.wait({upcoming}, timeout=STILL_HERE_S)
            message = None
            if done:
                message, upcoming = upcoming.result(), None
            else:
                await response.write(b": still here\n\n")
    except StopAsyncIteration:
        return True
    finally:
        if upcoming is not None and not upcoming.done():
            upcoming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await upcoming


async def _message(message: Run | Sequence[Event], request: web.Request) -> bytes:
    if not isinstance(message, Run):
        return b"".join(map(_event, message))
    [run] = await present_runs([message], request)
    if len(orjson.dumps(run["result"])) > MAX_RESULT_BYTES:
        run["result"] = None
    document = orjson.dumps(run)
    name = b"id: end\nevent: end" if message.state.over else b"event: state"
    return b"%b\ndata: %b\n\n" % (name, document)


def _event(event: Event) -> bytes:
    data = orjson.dumps({"at": iso(event.at), **event.values})
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.id, event.kind.encode(), data)


async def get_metrics(request: web.Request) -> web.StreamResponse:
    """What a run has measured: as JSON, a page at a time, or all of it as CSV."""
    run_id, observer = request.match_info["run"], request.app[OBSERVER]
    said = await observer.summary(run_id)
    points = _points(request) if "points" in request.query else None
    if _wants_csv(request):
        return await _send_csv(request, _one_by_one(observer.measured(run_id, 0, points)), list(said.metrics))
    limit = whole_number("limit", request.query.get("limit"), DEFAULT_REPORTS, MAX_REPORTS)
    if points is not None:
        limit = MAX_POINTS
    rows: list[bytes] = []
    size, last, following = 0, 0, None
    after = _place(request.query.get("after", "0"))
    async for event in _one_by_one(observer.measured(run_id, after, points)):
        if len(rows) == limit or size > MAX_PAGE_BYTES:
            following = str(request.rel_url.update_query(after=last))
            break
        rows.append(orjson.dumps({"at": iso(event.at), "values": event.values}))
        size, last = size + len(rows[-1]), event.id
    return json_response(
        {
            "run": run_id,
            "reports": said.reports,
            "last": dict(said.metrics),
            "metrics": [orjson.Fragment(row) for row in rows],
            "next": following,
        }
    )


async def _one_by_one(measured: AsyncIterator[Sequence[Event]]) -> AsyncIterator[Event]:
    async for events in measured:
        for event in events:
            yield event


def _points(request: web.Request) -> int:
    return whole_number("points", request.query.get("points"), DEFAULT_POINTS, MAX_POINTS)


def _wants_csv(request: web.Request) -> bool:
    asked = request.query.get("format")
    if asked is not None:
        if asked not in ("json", "csv"):
            raise InvalidInput([Issue("/format", "Must be json or csv.")])
        return asked == "csv"
    chosen = negotiation.choose(request.headers.get("Accept", ""), (negotiation.JSON, CSV))
    if chosen is None:
        raise NotAcceptable("This can be had as application/json or text/csv.")
    return chosen == CSV


async def _send_csv(request: web.Request, rows: AsyncIterator[Event], names: Sequence[str]) -> web.StreamResponse:
    response = await _stream(request, CSV)
    piece = io.StringIO()
    writer = csv.writer(piece)
    writer.writerow(["at", *names])
    async for event in rows:
        writer.writerow([iso(event.at), *(event.values.get(name) for name in names)])
        if piece.tell() > 2**16:
            await response.write(piece.getvalue().encode("utf-8", "replace"))
            piece.seek(0)
            piece.truncate()
    await response.write(piece.getvalue().encode("utf-8", "replace"))
    await response.write_eof()
    return response


async def get_plot(request: web.Request) -> web.Response:
    """The learning curves of a run, as a picture."""
    run = await request.app[TRAINER].get(request.match_info["run"])
    observer = request.app[OBSERVER]
    said = await observer.summary(run.id)
    axis = next((name for name in _AXES if is_number(said.metrics.get(name))), "seconds")
    names = curve.chosen([name for name, value in said.metrics.items() if name != axis and not isinstance(value, str)])
    lines: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    x = None  # a report that does not say where it is comes with the one before
    async for event in _one_by_one(observer.measured(run.id, 0, _points(request))):
        told = event.values.get(axis) if axis != "seconds" else _seconds(run, event)
        x = float(told) if is_number(told) else x
        for name in names:
            value = event.values.get(name)
            if x is not None and is_number(value):
                lines[name].append((x, float(value)))
    title = f"{run.model} · {run.id[:8]} · {run.state}"
    drawn = {name: points for name, points in lines.items() if points}
    picture = await asyncio.to_thread(curve.draw, title, axis, drawn)
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-cache"}
    return web.Response(
        body=picture.encode("utf-8", "replace"), content_type="image/svg+xml", charset="utf-8", headers=headers
    )


def _seconds(run: Run, event: Event) -> float | None:
    return (event.at - (run.started_at or run.created_at)).total_seconds() if event.at else None


async def list_artifacts(request: web.Request) -> web.Response:
    """The files that a run keeps."""
    run_id = request.match_info["run"]
    found = await request.app[OBSERVER].artifacts(run_id)
    base = f"{base_of(request)}{RUN.format(run=run_id)}/artifacts"
    return json_response(
        {
            "artifacts": [
                {
                    "name": kept.name.encode("utf-8", "replace").decode(),
                    "bytes": kept.size_bytes,
                    "modified_at": iso(kept.modified_at),
                    "links": {"self": f"{base}/{quote(os.fsencode(kept.name))}"},
                }
                for kept in found
            ]
        }
    )


async def get_artifact(request: web.Request) -> web.StreamResponse:
    """One of these files, or the part of it that a ``Range`` asks for."""
    run_id = request.match_info["run"]
    encoded = request.rel_url.raw_path.partition(f"/runs/{run_id}/artifacts/")[2]
    path = await request.app[OBSERVER].artifact(run_id, os.fsdecode(unquote_to_bytes(encoded)))
    _check_range(request, path.stat().st_size)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name, safe='', errors='replace')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return web.FileResponse(path, headers=headers)


def _check_range(request: web.Request, size: int) -> None:
    """Refuse a part that is not there in our own words."""
    try:
        start = request.http_range.start
    except ValueError:
        start = size
    if start is not None and start >= size:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})


async def _stream(request: web.Request, media_type: str) -> web.StreamResponse:
    headers = {
        "Content-Type": media_type if media_type != CSV else f"{CSV}; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Accel-Buffering": "no",
        REQUEST_ID: request_id.get(""),
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response


def _place(text: str) -> int:
    """A place in a run's events; whatever is none is the beginning, as a browser cannot be told otherwise."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


ROUTES = [
    get_alone(RUN + "/events", get_events, READ),
    get_alone(RUN + "/metrics", get_metrics, READ),
    get(RUN + "/plot.svg", get_plot, READ),
    get(RUN + "/artifacts", list_artifacts, READ),
    get(RUN + "/artifacts/{name:(?s:.+)}", get_artifact, READ),
]
