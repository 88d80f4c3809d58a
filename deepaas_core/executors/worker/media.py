"""Results that are a body by themselves, for models that choose the media type by their ``accept`` argument."""

import contextlib
import mimetypes
from typing import Any, Optional

#: How files of these types begin.
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"OggS": "audio/ogg",
    b"ID3": "audio/mpeg",
}
UNKNOWN = "application/octet-stream"


def raw(value: Any, most: int) -> Optional[bytes]:
    """The bytes of a text, of bytes or of an open file; None if the value is no such thing.

    Args:
        value: What a model has returned.
        most: Of a file, no more bytes than this are read.
    """
    if value is None:
        return b""
    if callable(getattr(value, "read", None)):
        with contextlib.closing(value):
            value = value.getvalue() if hasattr(value, "getvalue") else value.read(most)
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None


def concrete(accept: str, value: Any, content: bytes) -> str:
    """The media type of an answer: what was asked for, or what it turns out to be when that is a range."""
    family, _, kind = accept.partition("/")
    if kind != "*":
        return accept
    name = getattr(value, "name", None)
    guessed = mimetypes.guess_type(name)[0] if isinstance(name, str) else None
    found = [guessed, *(media for start, media in _BEGINNINGS.items() if content.startswith(start))]
    return next((media for media in found if media and family in ("*", media.partition("/")[0])), UNKNOWN)
