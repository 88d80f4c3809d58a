"""The worker line's wire format: a fixed-size prefix, a JSON header, then raw buffers.

Plain data only. Nothing is unpickled on either side, so the two ends need not share an interpreter, library versions
or even a language. Both ends use this module.

    prefix   4 bytes  length of the header, little endian
             8 bytes  length of all buffers together
    header   JSON object; with more than one buffer, ``buffers`` gives the length of each
    buffers  one after the other
"""

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Union

try:
    import orjson
except ImportError:  # the model's environment need not have it

    def dumps(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    loads: Any = json.loads
else:
    dumps = orjson.dumps  # type: ignore[assignment]  # it takes options besides
    loads = orjson.loads

Buffer = Union[bytes, bytearray, memoryview]
Frame = tuple[dict[str, Any], Buffer]

PREFIX = struct.Struct("<IQ")
MAX_HEADER_BYTES = 64 * 2**20
#: A buffer at least this long is sent as a piece of its own instead of being joined to its header.
LARGE_BYTES = 64 * 1024


class BrokenLine(Exception):
    """The other end sent something that is not a frame."""


def encode(header: dict[str, Any], *buffers: Buffer) -> list[Buffer]:
    """Turn one frame into the pieces to send, in order.

    Small frames come as one piece; a large buffer is a piece of its own, so that it is not copied.
    """
    if len(buffers) > 1:
        header["buffers"] = [len(buffer) for buffer in buffers]
    head = dumps(header)
    size = sum(len(buffer) for buffer in buffers)
    prefix = PREFIX.pack(len(head), size)
    if size < LARGE_BYTES:
        return [b"".join((prefix, head, *buffers))]
    return [prefix + head, *buffers]


def split(header: dict[str, Any], body: Buffer) -> list[Buffer]:
    """The buffers of a frame, as views of its body."""
    lengths: Sequence[int] = header.get("buffers") or ([len(body)] if len(body) else [])
    view, start = memoryview(body), 0
    buffers: list[Buffer] = []
    for length in lengths:
        buffers.append(view[start : start + length])
        start += length
    return buffers


class Decoder:
    """Turns the bytes that arrive into frames, however they were cut on the way."""

    def __init__(self, max_body_bytes: int = 2**40) -> None:
        self._pending = bytearray()
        self._wanted = PREFIX.size
        self._max_body_bytes = max_body_bytes

    def feed(self, data: Buffer) -> Iterator[Frame]:
        """Take more bytes and yield the frames that are now complete.

        Raises:
            BrokenLine: What arrived is not a frame, or is larger than allowed.
        """
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return
            data, self._pending = self._pending, bytearray()
        start, end = 0, len(data)
        while end - start >= PREFIX.size:
            head_size, body_size = PREFIX.unpack_from(data, start)
            if head_size > MAX_HEADER_BYTES or body_size > self._max_body_bytes:
                raise BrokenLine("a frame is larger than allowed")
            total = PREFIX.size + head_size + body_size
            if end - start < total:
                self._wanted = total
                break
            head_end = start + PREFIX.size + head_size
            yield self._frame(data, start + PREFIX.size, head_end, start + total)
            start += total
        else:
            self._wanted = PREFIX.size
        if start < end:
            self._pending = bytearray(memoryview(data)[start:end])

    @staticmethod
    def _frame(data: Buffer, head_start: int, head_end: int, end: int) -> Frame:
        view = memoryview(data)
        try:
            header = loads(bytes(view[head_start:head_end]))
        except ValueError as error:
            raise BrokenLine("a header is not JSON") from error
        if not isinstance(header, dict):
            raise BrokenLine("a header is not an object")
        return header, bytes(view[head_end:end])
