"""The HTTP protocol of one connection, where aiohttp leaves something to wish for.

A client that opens a connection and never finishes its first request head is cut off, and a request that cannot be
read is answered by a problem document like every other error.
"""

from __future__ import annotations

import asyncio
import logging
import os
from http import HTTPStatus

from aiohttp import web
from aiohttp.web_request import BaseRequest

from deepaas_core.web import problems

log = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 15.0


class Connection(web.RequestHandler):
    """One client connection."""

    __slots__ = ("_head_timer",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not even be read, or whose handler broke outside the middlewares."""
        if request.writer.output_size > 0:
            raise ConnectionError("A part of the answer has been sent already.")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed", exc_info=exc)
            detail = "The server failed; its log has more under this request id."
        else:
            log.debug("unreadable request", exc_info=exc)
            detail = "The request is not valid HTTP."
        response = problems.plain(status, HTTPStatus(status).phrase, detail, os.urandom(8).hex())
        response.force_close()
        return response

    def _head_is_late(self) -> None:
        if self._request_count == 0:
            self.force_close()
            if self.transport is not None:
                self.transport.abort()
