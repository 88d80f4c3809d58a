"""Files that models make, on their way to a client."""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.prediction import Prediction
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web.inputs import PIECE_BYTES
from deepaas_core.web.keys import SCRATCH
from deepaas_core.web.observe import REQUEST_ID


async def send_file(
    prediction: Prediction, request: web.Request, more: Mapping[str, str] = types.MappingProxyType({})
) -> web.StreamResponse:
    """Send a file that the model made, if it lies where the model may keep files; with more headers than usual."""
    assert prediction.path is not None
    path = Path(prediction.path).resolve()
    if not path.is_file() or not path.is_relative_to(request.app[SCRATCH].resolve()):
        raise errors.UnencodableResult(prediction.model, "it returned a file outside its temporary folder")
    headers = {"Content-Type": safe_type(prediction.media_type or ""), REQUEST_ID: request_id.get(), **more}
    response = web.StreamResponse(headers=headers)
    with path.open("rb") as file:
        path.unlink()  # the answer takes the file along, so that a model's temporary files do not pile up
        response.content_length = os.fstat(file.fileno()).st_size
        await response.prepare(request)
        while piece := file.read(PIECE_BYTES):
            await response.write(piece)
    await response.write_eof()
    return response


def safe_type(media_type: str) -> str:
    """A model's media type as a header, or plain bytes if it is not one."""
    printable = media_type.isprintable() and media_type.isascii() and "/" in media_type
    return media_type if printable else "application/octet-stream"
