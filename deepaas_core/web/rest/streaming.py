"""Answers that come piece by piece: as newline-delimited JSON, or as server-sent events for those who accept them.

Once the first piece is on its way the status is said; what goes wrong later is told as the last piece.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.prediction import Pieces
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web import negotiation, problems
from deepaas_core.web.keys import SETTINGS
from deepaas_core.web.observe import REQUEST_ID

log = logging.getLogger(__name__)


async def send_pieces(
    pieces: Pieces, request: web.Request, more: Mapping[str, str] = types.MappingProxyType({})
) -> web.StreamResponse:
    """Send every piece as it comes, with more headers than usual.

    The model waits when the client is slow, and stops when the client has gone.
    """
    media_type = negotiation.stream_type(request.headers) or negotiation.NDJSON
    as_events = media_type == negotiation.EVENT_STREAM
    headers = {
        "Content-Type": media_type,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        REQUEST_ID: request_id.get(),
        **more,
    }
    response = web.StreamResponse(headers=headers)
    try:
        await response.prepare(request)
        async for piece in pieces:
            await response.write(b"data: %b\n\n" % piece if as_events else piece + b"\n")
        if as_events:
            await response.write(b"event: end\ndata: {}\n\n")
    except errors.DeepaasError as error:
        document = _problem(error, request)
        log.warning("stream failed", extra={"problem": document["detail"]})
        await response.write(b"event: error\ndata: %b\n\n" % orjson.dumps(document) if as_events else _line(document))
    finally:
        pieces.close()
    await response.write_eof()
    return response


def _problem(error: errors.DeepaasError, request: web.Request) -> dict[str, Any]:
    return problems.describe(error, request_id.get(), request.app[SETTINGS].web.show_model_errors)


def _line(document: dict[str, Any]) -> bytes:
    return orjson.dumps({"error": document}) + b"\n"
