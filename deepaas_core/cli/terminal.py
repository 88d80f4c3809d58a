"""Where the commands print for people."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class Terminal(Console):
    """Standard output; that its reader has left is for ``main`` to handle, not an exit code of its own."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError
