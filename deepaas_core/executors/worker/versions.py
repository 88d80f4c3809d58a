"""The few things of ``distutils`` that older packages still import, for the Pythons that have it no more (3.12 on)."""

import functools
import re
import shutil
from typing import Any, Union

_PIECES = re.compile(r"\d+|[a-z]+", re.IGNORECASE)
_TRUE, _FALSE = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0")


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


def strtobool(val: str) -> int:
    """1 or 0 for a word that means true or false.

    Raises:
        ValueError: It means neither.
    """
    if val.lower() in _TRUE:
        return 1
    if val.lower() in _FALSE:
        return 0
    raise ValueError(f"invalid truth value {val!r}")


def copy_tree(src: str, dst: str, *_: Any, **__: Any) -> None:
    """Copy what is in a folder into another, which may exist."""
    shutil.copytree(src, dst, dirs_exist_ok=True)


def _version(value: Any) -> LooseVersion:
    return value if isinstance(value, LooseVersion) else LooseVersion(str(value))


def _rank(piece: Union[int, str]) -> "tuple[bool, Union[int, str]]":
    return isinstance(piece, int), piece
