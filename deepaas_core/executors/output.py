"""What a model prints becomes log lines of its own, named by model.

A model may print faster than anyone can read. The pipe is therefore emptied in bounded gulps with a rest between
them, lines are cut at a length, and past a number of lines a second the rest is counted instead of written, so that
neither the model nor the server is held up.
"""

from __future__ import annotations

import asyncio
import logging
import os

log = logging.getLogger("deepaas_core.model")

GULP_BYTES = 256 * 1024
REST_S = 0.005
MAX_LINE_BYTES = 8 * 1024
MAX_LINES_PER_S = 500


class Output:
    """Reads one stream of one worker until it closes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, model: str, stream: str):
        self._loop = loop
        self._descriptor = descriptor
        self._fields = {"model": model, "stream": stream}
        self._rest = b""
        self._second = 0
        self._lines = 0
        self._dropped = 0
        self._closed = False
        self.last_lines: list[str] = []
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._readable)

    def close(self) -> None:
        """Take what is still there and let go of the stream."""
        if self._closed:
            return
        self._take()
        if not self._closed:
            self._end()

    def _readable(self) -> None:
        if self._take() == GULP_BYTES and not self._closed:
            self._loop.remove_reader(self._descriptor)
            self._loop.call_later(REST_S, self._resume)

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._descriptor, self._readable)

    def _take(self) -> int:
        try:
            data = os.read(self._descriptor, GULP_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._end()
            return 0
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self._write(self._rest)
            self._rest = b""
        return len(data)

    def _end(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        if self._rest:
            self._write(self._rest)
        self._tell_dropped()

    def _write(self, line: bytes) -> None:
        second = int(self._loop.time())
        if second != self._second:
            self._tell_dropped()
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > MAX_LINES_PER_S:
            if not self._dropped:
                self._loop.call_later(1.0, self._tell_dropped)  # even if the model prints nothing more
            self._dropped += 1
            return
        text = line[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace").rstrip("\r")
        if text:
            self.last_lines = [*self.last_lines[-4:], text]
            log.info("model output", extra={**self._fields, "line": text})

    def _tell_dropped(self) -> None:
        if self._dropped:
            log.warning("model output dropped", extra={**self._fields, "lines": self._dropped})
            self._dropped = 0
