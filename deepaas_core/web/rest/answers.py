"""JSON answers of the native API."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web


def json_response(document: Any, status: int = 200, **headers: str) -> web.Response:
    """A document as JSON; text that UTF-8 cannot hold is escaped rather than refused."""
    body = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)
