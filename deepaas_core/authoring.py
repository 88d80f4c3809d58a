"""What a model may return or raise besides plain values and exceptions."""

from __future__ import annotations

import os
from typing import NamedTuple


class ReturnedFile(NamedTuple):
    """A result that is a file.

    Attributes:
        path: The file; it must lie in the folder for temporary files (``tempfile`` puts it there), and is
            removed once it has been sent.
        content_type: Its media type, e.g. ``image/png``.
    """

    path: str | os.PathLike[str]
    content_type: str = "application/octet-stream"


class InputError(ValueError):
    """Raised by a model whose input is to blame; the caller sees the text, as status 422.

    Args:
        text: What was expected.
        argument: The name of the argument, e.g. ``top``; empty for the input as a whole.
    """

    def __init__(self, text: str, argument: str = ""):
        super().__init__(text)
        self.argument = argument
