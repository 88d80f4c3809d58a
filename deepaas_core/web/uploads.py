"""Bodies that go to disk as they arrive: files as they are, and forms that may carry several of them.

The pieces that the connection delivers are written as they come: nothing is joined, cut or copied on the way.
"""

from __future__ import annotations

import asyncio
import os
from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import Path
from typing import Protocol

from aiohttp import web
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from deepaas_core import errors
from deepaas_core.web.auth import max_body_bytes
from deepaas_core.web.keys import SETTINGS

MAX_PARTS = 200
MAX_PART_HEADERS = 32
MAX_HEADER_BYTES = 8 * 2**10


class Budget:
    """What all parts of one body may take together, in bytes, and how long each may go without progress."""

    def __init__(self, request: web.Request):
        limits = request.app[SETTINGS].web
        self._may_hold = max_body_bytes(request, limits.max_body_bytes)
        self._may_save = max_body_bytes(request, limits.max_upload_bytes)
        self._held = self._saved = 0
        self.patience_s = limits.body_timeout_s

    def hold(self, size: int) -> None:
        """Account for bytes kept in memory."""
        self._held += size
        if self._held > self._may_hold:
            raise errors.PayloadTooLarge(self._may_hold)

    def save(self, size: int) -> None:
        """Account for bytes written to disk."""
        self._saved += size
        if self._saved > self._may_save:
            raise errors.PayloadTooLarge(self._may_save)


class Held:
    """Content that is kept in memory."""

    def __init__(self, budget: Budget):
        self.content = bytearray()
        self._budget = budget

    def write(self, piece: bytes) -> None:
        """One more piece."""
        self._budget.hold(len(piece))
        self.content += piece

    def close(self) -> None:
        """There is no more."""


class Saved:
    """Content that goes to a new file, which nobody else may read."""

    def __init__(self, path: Path, budget: Budget):
        self.path = path
        self._budget = budget
        self._file = open(path, "xb", opener=_private)  # noqa: SIM115 (closed when its part ends)

    def write(self, piece: bytes) -> None:
        """One more piece."""
        self._budget.save(len(piece))
        self._file.write(piece)

    def close(self) -> None:
        """There is no more."""
        self._file.close()


class Receiver(Protocol):
    """Who takes the parts of a form."""

    def begin(self, part: MultipartSegment) -> Held | Saved:
        """Where the content of a part goes."""

    def end(self, part: MultipartSegment, content: Held | Saved) -> None:
        """All of the part has arrived."""


async def save_body(request: web.Request, path: Path, budget: Budget) -> None:
    """Write a whole body to a new file; the time limit is for every piece, so that a large one may take its time."""
    loop, saved = asyncio.get_running_loop(), Saved(path, budget)
    try:
        async with asyncio.timeout(budget.patience_s) as patience:
            async for piece, _ in request.content.iter_chunks():
                saved.write(piece)
                patience.reschedule(loop.time() + budget.patience_s)
    finally:
        saved.close()


async def read_form(request: web.Request, receiver: Receiver, budget: Budget) -> None:
    """Read a multipart body part by part; the time limit is for every piece of a file, and for the rest as a whole.

    Raises:
        MalformedBody: It is no such body, or has too many parts.
    """
    try:
        await _read_form(request, _parser(request), receiver, budget)
    except MultipartError:
        raise errors.MalformedBody(
            f"The multipart body cannot be read: it is malformed, ends too early, or has more than {MAX_PARTS} parts."
        ) from None


async def _read_form(request: web.Request, parser: PushMultipartParser, receiver: Receiver, budget: Budget) -> None:
    loop = asyncio.get_running_loop()
    part: MultipartSegment | None = None
    content: Held | Saved | None = None
    try:
        async with asyncio.timeout(budget.patience_s) as patience:
            async for piece, _ in request.content.iter_chunks():
                for event in parser.parse(piece) if piece else ():
                    if isinstance(event, MultipartSegment):
                        _read_extended(event)
                        part, content = event, receiver.begin(event)
                    elif event is not None and content is not None:
                        content.write(bytes(event))
                    elif part is not None and content is not None:
                        content.close()
                        receiver.end(part, content)
                if isinstance(content, Saved):
                    patience.reschedule(loop.time() + budget.patience_s)
        parser.close()
    finally:
        if content is not None:
            content.close()


def _read_extended(part: MultipartSegment) -> None:
    """Take a name as RFC 5987 writes it (``filename*=``), as some clients do where it is not ASCII."""
    disposition = part.header("Content-Disposition") or ""
    if "*=" in disposition:
        message = Message()
        message["Content-Disposition"] = disposition.replace("\r", " ").replace("\n", " ")
        part.filename = part.filename or message.get_filename()
        name = message.get_param("name", header="Content-Disposition")
        part.name = part.name or (collapse_rfc2231_value(name) if name else "")


def _parser(request: web.Request) -> PushMultipartParser:
    _, options = parse_options_header(request.headers["Content-Type"])
    return PushMultipartParser(
        options.get("boundary", ""),
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_PART_HEADERS,
        max_segment_count=MAX_PARTS,
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
