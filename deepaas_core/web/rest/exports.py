"""The prediction log as files: CSV, JSON lines and Parquet, however many entries there are."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.prediction_log import LogEntry
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web import negotiation
from deepaas_core.web.inputs import PIECE_BYTES
from deepaas_core.web.keys import SCRATCH
from deepaas_core.web.observe import REQUEST_ID
from deepaas_core.web.rest.runs import iso
from deepaas_core.web.scratch import Folder

#: The media types by what they are called in a query.
FORMATS = {
    "json": negotiation.JSON,
    "csv": "text/csv",
    "ndjson": negotiation.NDJSON,
    "parquet": "application/vnd.apache.parquet",
}
_COLUMNS = (
    *("id", "at", "request", "row", "service", "endpoint", "generation", "token", "status", "error", "duration_s"),
    *("number", "category", "probabilities", "inputs", "output", "context", "label", "labelled_at"),
)


def format_of(request: web.Request) -> str:
    """In which format a request wants entries.

    Raises:
        InvalidInput, NotAcceptable: In one that there is not.
    """
    asked = request.query.get("format")
    if asked is not None:
        if asked not in FORMATS:
            raise errors.InvalidInput([errors.Issue("/format", f"Must be one of: {', '.join(FORMATS)}.")])
        return asked
    chosen = negotiation.choose(request.headers.get("Accept", ""), tuple(FORMATS.values()))
    if chosen is None:
        raise errors.NotAcceptable(f"This can be had as {', '.join(FORMATS.values())}.")
    return next(name for name, media_type in FORMATS.items() if media_type == chosen)


def document_of(entry: LogEntry) -> dict[str, Any]:
    """An entry as all our documents have it."""
    predicted = entry.predicted
    return {
        "id": entry.id,
        "at": iso(entry.at),
        "request": entry.request,
        "row": entry.row,
        "service": entry.service,
        "endpoint": entry.endpoint,
        "generation": entry.generation or None,
        "token": entry.token or None,
        "status": entry.status,
        "error": entry.error or None,
        "duration_s": round(entry.duration_s, 6),
        "prediction": {
            "number": predicted.number,
            "category": predicted.category,
            "probabilities": dict(predicted.scores),
        },
        **{name: _json(getattr(entry, name)) for name in ("inputs", "output", "context", "label")},
        "labelled_at": iso(entry.labelled_at),
    }


def _json(text: str | None) -> Any:
    return None if text is None else orjson.Fragment(text)


def _row(entry: LogEntry) -> dict[str, Any]:
    """An entry with a value for each column; what is JSON is text."""
    predicted = entry.predicted
    scores = orjson.dumps(dict(predicted.scores)).decode() if predicted.scores else None
    document = document_of(entry)
    told = {name: getattr(entry, name) for name in ("inputs", "output", "context", "label")}
    return {**document, "number": predicted.number, "category": predicted.category, "probabilities": scores, **told}


async def cut(pages: AsyncIterator[Sequence[LogEntry]], limit: int | None) -> AsyncIterator[Sequence[LogEntry]]:
    """The first so many entries; None for all of them."""
    async for page in pages:
        if limit is None:
            yield page
            continue
        yield page[:limit]
        limit -= len(page)
        if limit <= 0:
            return


async def _send_csv(request: web.Request, pages: AsyncIterator[Sequence[LogEntry]]) -> web.StreamResponse:
    def encode(page: Sequence[LogEntry]) -> bytes:
        piece = io.StringIO()
        csv.writer(piece).writerows([[row[name] for name in _COLUMNS] for row in map(_row, page)])
        return piece.getvalue().encode("utf-8", "replace")

    return await _send(request, "csv", pages, encode, (",".join(_COLUMNS) + "\r\n").encode())


async def _send_ndjson(request: web.Request, pages: AsyncIterator[Sequence[LogEntry]]) -> web.StreamResponse:
    def encode(page: Sequence[LogEntry]) -> bytes:
        return b"".join(orjson.dumps(document_of(entry), option=orjson.OPT_APPEND_NEWLINE) for entry in page)

    return await _send(request, "ndjson", pages, encode)


async def _send(
    request: web.Request,
    form: str,
    pages: AsyncIterator[Sequence[LogEntry]],
    encode: Callable[[Sequence[LogEntry]], bytes],
    head: bytes = b"",
) -> web.StreamResponse:
    first = await anext(pages, ())  # what cannot be read is refused before the answer begins
    response = await _prepared(request, form)
    await response.write(head + await asyncio.to_thread(encode, first))
    async for page in pages:
        await response.write(await asyncio.to_thread(encode, page))
    await response.write_eof()
    return response


async def _send_parquet(request: web.Request, pages: AsyncIterator[Sequence[LogEntry]]) -> web.StreamResponse:
    try:
        from pyarrow import RecordBatch, parquet, schema  # an extra, and slow to import
    except ModuleNotFoundError:
        raise errors.NotAcceptable("Parquet needs pyarrow on the server: pip install 'deepaas-core[parquet]'") from None
    kinds = {"row": "int64", "status": "int32", "duration_s": "double", "number": "double"}
    columns = schema([(name, kinds.get(name, "string")) for name in _COLUMNS])
    with Folder(request.app[SCRATCH]) as folder:
        path = folder.new_file("predictions.parquet")
        with parquet.ParquetWriter(path, columns) as writer:
            async for page in pages:
                batch = RecordBatch.from_pylist([_row(entry) for entry in page], columns)
                await asyncio.to_thread(writer.write_batch, batch)
        return await _send_file(request, path)


async def _send_file(request: web.Request, path: Path) -> web.StreamResponse:
    response = await _prepared(request, "parquet")
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            await response.write(piece)
    await response.write_eof()
    return response


async def _prepared(request: web.Request, form: str) -> web.StreamResponse:
    headers = {
        "Content-Type": FORMATS[form] + ("; charset=utf-8" if form == "csv" else ""),
        "Content-Disposition": f'attachment; filename="predictions.{form}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        REQUEST_ID: request_id.get(""),
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response


#: What sends entries, by the name of the format.
EXPORTS = {"csv": _send_csv, "ndjson": _send_ndjson, "parquet": _send_parquet}
