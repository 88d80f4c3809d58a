"""An answer that comes piece by piece, at the pace of whoever takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

#: Pieces, and bytes of them, that may wait to be taken before the model is held up.
MAX_WAITING = 64
MAX_WAITING_BYTES = 2**20


class Pieces:
    """The pieces of one answer: an asynchronous iterator for the taker, ``push`` and ``finish`` for the giver.

    Args:
        hold: Called with True when too much waits, and with False when there is room again.
        leave: Called when the taker closes it before the end.
    """

    def __init__(self, hold: Callable[[bool], None], leave: Callable[[], None]):
        self._hold, self._leave = hold, leave
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._held = False
        self._over = False
        self._closed = False
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def push(self, piece: bytes) -> None:
        """Give one more piece."""
        if self._closed:
            return
        self._waiting.append(piece)
        self._bytes += len(piece)
        self._news.set()
        if not self._held and (len(self._waiting) >= MAX_WAITING or self._bytes >= MAX_WAITING_BYTES):
            self._held = True
            self._hold(True)

    def finish(self, error: Exception | None = None) -> None:
        """There is no more to come; with an error, the taker is told it after the last piece."""
        if not self._over:
            self._over, self._error = True, error
            self._news.set()

    def close(self) -> None:
        """Take no more."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._release()
        if not self._over:
            self._leave()

    @property
    def held(self) -> bool:
        """Whether the model waits for the taker."""
        return self._held

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._waiting:
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        piece = self._waiting.popleft()
        self._bytes -= len(piece)
        if len(self._waiting) <= MAX_WAITING // 2 and self._bytes <= MAX_WAITING_BYTES // 2:
            self._release()
        return piece

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._hold(False)
