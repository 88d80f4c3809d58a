"""Versions that can be compared, whatever they look like."""

import functools
import re
from typing import Any, Union

_PIECES = re.compile(r"\d+|[a-z]+", re.IGNORECASE)


@functools.total_ordering
class LooseVersion:
    """A version that compares by its numbers and words, whatever it looks like.

    Attributes:
        vstring: As it was given.
        version: Its numbers and words, in order.
    """

    def __init__(self, vstring: str = ""):
        self.vstring = vstring
        self.version: list[Union[int, str]] = [
            int(piece) if piece.isdigit() else piece for piece in _PIECES.findall(vstring)
        ]

    def __str__(self) -> str:
        return self.vstring

    def __repr__(self) -> str:
        return f"{type(self).__name__} ('{self.vstring}')"

    def __eq__(self, other: object) -> bool:
        return self.version == _version(other).version

    def __lt__(self, other: Any) -> bool:
        return [*map(_rank, self.version)] < [*map(_rank, _version(other).version)]

    def __hash__(self) -> int:
        return hash(tuple(self.version))


class StrictVersion(LooseVersion):
    """The same, for versions that are numbers only."""


def _version(value: Any) -> LooseVersion:
    return value if isinstance(value, LooseVersion) else LooseVersion(str(value))


def _rank(piece: Union[int, str]) -> "tuple[bool, Union[int, str]]":
    return isinstance(piece, int), piece
