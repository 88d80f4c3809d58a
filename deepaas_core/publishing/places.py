"""Where in a TOML text a member stands, for errors that name the line.

The standard parser keeps no positions, and neither does tomlkit. So the parser itself is asked: a member begins in the
line behind which the text can be cut off so that it is there, and before which it is not. What the cut leaves open is
closed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

Path = Sequence[str | int]

#: How much the parser is asked to read; beyond that, a line is the one from which on nothing could be told.
MAX_CHARS = 10_000_000
_LINE_ENDS = re.compile(r"(?<=\n)")
#: What may be open behind a line: lists, lists in tables, and both of them in lists.
_CLOSERS = ("", "]", "]}", "]}]", "]]", "]]}", "]]}]")


class Places:
    """The lines of a text that is valid TOML."""

    def __init__(self, text: str):
        self._lines = _LINE_ENDS.split(text)
        self._whole = tomllib.loads(text)
        self._cuts: dict[int, Any] = {0: {}, len(self._lines): self._whole}
        self._read_chars = 0

    def line_of(self, path: Path) -> int:
        """The line, from 1, in which a member begins; for one that is not there, that of what it would be part of."""
        while path and not _has(self._whole, path):
            path = path[:-1]
        before, behind = 0, len(self._lines)
        while path and behind - before > 1:
            cut = self._nearest_cut(before, behind)
            if cut is None:  # all of it is one value
                break
            if _has(self._cuts[cut], path):
                behind = cut
            else:
                before = cut
        return before + 1

    def _nearest_cut(self, before: int, behind: int) -> int | None:
        """The line in between, as near the middle as may be, behind which the text can be cut off."""
        middle = (before + behind) // 2
        between = sorted(range(before + 1, behind), key=lambda at: abs(at - middle))
        return next((at for at in between if self._can_cut(at)), None)

    def _can_cut(self, lines: int) -> bool:
        if lines not in self._cuts:
            text = "".join(self._lines[:lines])
            self._read_chars += len(text)
            self._cuts[lines] = _parse(text) if self._read_chars < MAX_CHARS else None
        return self._cuts[lines] is not None


def _parse(text: str) -> Any:
    for closer in _CLOSERS:
        try:
            return tomllib.loads(text + closer)
        except ValueError:
            continue
    return None


def _has(value: Any, path: Path) -> bool:
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or len(value) <= step:
                return False
        elif not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True
