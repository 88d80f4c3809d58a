"""What a model may return or raise besides plain values and exceptions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class ReturnedFile(NamedTuple):
    """A result that is a file.

    Attributes:
        path: The file; it must lie in the folder for temporary files (``tempfile`` puts it there), and is
            removed once it has been sent.
        content_type: Its media type, e.g. ``image/png``.
    """

    path: str | os.PathLike[str]
    content_type: str = "application/octet-stream"


class Response:
    """A result with a status, a media type or headers of its own, for functions of services.

    Args:
        body: Any result, which becomes JSON; with another ``content_type``, text or bytes that are sent as they are.
        status: The HTTP status, 200 to 599.
        content_type: Its media type, e.g. ``text/csv``; None for JSON.
        headers: By name, or as pairs where a name comes more than once. Those that frame an answer, say who the server
            is or protect browsers are the server's own.
    """

    def __init__(
        self,
        body: Any = None,
        status: int = 200,
        content_type: str | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ):
        self.body, self.status, self.content_type, self.headers = body, status, content_type, headers


class InputError(ValueError):
    """Raised by a model whose input is to blame; the caller sees the text, as status 422.

    Args:
        text: What was expected.
        argument: The name of the argument, e.g. ``top``; empty for the input as a whole.
    """

    def __init__(self, text: str, argument: str = ""):
        super().__init__(text)
        self.argument = argument
