"""Where the commands print for people."""

from __future__ import annotations

import re
from typing import NoReturn

from rich.console import Console

#: What moves the cursor, rings, or talks to the terminal in other ways; colours are left alone.
_CONTROL = re.compile("\x1b(?!\\[[0-9;]{0,40}m)|[\x00-\x08\x0b-\x0d\x0e-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029]")


class Terminal(Console):
    """Standard output; that its reader has left is for ``main`` to handle, not an exit code of its own."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def harmless(text: str) -> str:
    """Text of a model or a client that may be shown on a terminal: it can have colours, and do nothing else there."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def harmless_log(text: str) -> str:
    """Whole lines of a log for a terminal; of a line that was written over and over, the last state is shown."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    shown = harmless("\n".join(lines))
    return f"{shown}\x1b[0m" if "\x1b" in shown else shown
