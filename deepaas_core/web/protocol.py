"""The HTTP protocol of one connection, where aiohttp leaves something to wish for.

A client that opens a connection and never finishes its first request head is cut off, and a request that cannot be
read is answered by a problem document like every other error. The plainest requests are answered here, on the express
lane (see ``express``), while the connection waits for its next request; aiohttp does not see them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_request import BaseRequest

from deepaas_core.serving.predictor import Begun
from deepaas_core.web import problems

if TYPE_CHECKING:
    from deepaas_core.web.express import Express

log = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 15.0


_Arrived = tuple[RawRequestMessage, StreamReader]


class Connection(web.RequestHandler):
    """One client connection.

    Args:
        express: Answers the plainest requests.

    Attributes:
        stumbled: Why what came behind the request on the express lane cannot be read; told in its turn.
    """

    __slots__ = (
        "_begun",
        "_behind",
        "_closing",
        "_express",
        "_handed_over",
        "_head_timer",
        "_idle",
        "_leaving",
        "_sent",
        "stumbled",
    )

    def __init__(self, manager: web.Server, *, express: Express, **options: Any):
        super().__init__(manager, **options)
        self._express = express
        self._begun: tuple[Begun, _Arrived] | None = None
        self._behind: list[_Arrived] = []
        self.stumbled: Exception | None = None
        self._closing = self._leaving = False
        self._idle: asyncio.Future[None] | None = None
        self._handed_over: tuple[object, Begun] | None = None
        self._parser = _Sieve(self, self._parser)  # type: ignore[assignment]  # it has what is used of a parser

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)
        if self._begun is not None:
            self._begun[0].result.cancel()

    def leave(self) -> None:
        """Answer what is still asked, and say with each answer that the connection ends."""
        self._leaving = True

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if self._leaving and not resp.prepared:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def close(self) -> None:
        """Take no more requests, and close when those that have come are answered."""
        self._closing = True
        if self._begun is None:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Close, letting what has begun finish for so long at most."""
        if self._begun is not None:
            self._idle = self._loop.create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._idle
        await super().shutdown(timeout)

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

    def begun_before(self, request: BaseRequest) -> Begun | None:
        """The call of this request, if it was begun on the express lane and its outcome is not for that."""
        if self._handed_over is None or self._handed_over[0] is not request.headers:
            return None
        return self._handed_over[1]

    def _head_is_late(self) -> None:
        if self._request_count == 0:
            self.force_close()
            if self.transport is not None:
                self.transport.abort()

    def _process_keepalive(self) -> None:
        if self._begun is None:
            super()._process_keepalive()
        else:  # it is not idle, although aiohttp has nothing to do
            self._keepalive_handle = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)

    # The express lane. One request at a time: what comes behind it waits, so that answers keep their order.

    def sort(self, arrived: list[_Arrived]) -> list[_Arrived]:
        """Begin what can take the express lane; gives what goes the usual way now."""
        if self._begun is not None:
            self._behind += arrived
            if len(self._behind) >= self._max_msg_queue_size and not self._buffer_paused:
                self._pause_reading_for_buffer()  # aiohttp resumes it once it has worked them off
            return []
        waiter = self._waiter
        if len(arrived) != 1 or waiter is None or waiter.done() or self._messages or self._close or self._leaving:
            return arrived
        message, payload = arrived[0]
        begun = self._express.begin(message, payload)
        if begun is None:
            return arrived
        self._begun = begun, arrived[0]
        begun.result.add_done_callback(self._ended)
        return []

    @property
    def busy(self) -> bool:
        """Whether a call of the express lane is on its way."""
        return self._begun is not None

    def _ended(self, _: asyncio.Future[Any]) -> None:
        assert self._begun is not None
        begun, sent = self._begun
        self._begun = None
        if self.transport is None or begun.result.cancelled():
            self._express.left(begun)
        else:
            self._settle(begun, sent, self.transport)
        if self._closing:
            super().close()
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _settle(self, begun: Begun, sent: _Arrived, transport: asyncio.WriteTransport) -> None:
        """Send the answer, or hand the outcome over to the usual way; either way go on with what came behind."""
        message, _ = sent
        peer = self.peername
        answer = self._express.answer(begun, message.path, peer[0] if isinstance(peer, tuple) else peer)
        if answer is None:
            self._handed_over = (message.headers, begun)
            self._behind.insert(0, sent)
        else:
            transport.write(answer)
            self._request_count += 1
            if self._parser is not None:
                self._parser.message_consumed()
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._behind or self.stumbled is not None:
            self._go_on()

    def _go_on(self) -> None:
        behind, self._behind = self._behind, []
        self._request_count += len(behind)
        self._messages.extend(behind)
        if behind and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.stumbled is not None:
            self.data_received(b"")


class _Sieve:
    """Stands before aiohttp's parser, and lets through what the express lane does not take."""

    __slots__ = ("_connection", "_parser", "feed_eof", "message_consumed", "pause_reading", "set_upgraded")

    def __init__(self, connection: Connection, parser: Any):
        self._connection = connection
        self._parser = parser
        for name in ("feed_eof", "message_consumed", "pause_reading", "set_upgraded"):
            setattr(self, name, getattr(parser, name))

    def feed_data(self, data: bytes) -> tuple[list[_Arrived], bool, bytes]:
        """As the parser's own, less what goes the express lane."""
        connection = self._connection
        if connection.stumbled is not None and not connection.busy:
            error, connection.stumbled = connection.stumbled, None
            raise error
        try:
            arrived, upgraded, tail = self._parser.feed_data(data)
        except Exception as error:
            if not connection.busy:
                raise
            connection.stumbled = error
            return [], False, b""
        return connection.sort(arrived) if arrived else arrived, upgraded, tail


def begun_before(request: web.Request) -> Begun | None:
    """See ``Connection.begun_before``."""
    protocol = request.protocol
    return protocol.begun_before(request) if isinstance(protocol, Connection) else None
