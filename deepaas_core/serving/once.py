"""What is made of objects that stay as they are, and is needed for every request, is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, TypeVarTuple, Unpack

Objects = TypeVarTuple("Objects")
Made = TypeVar("Made")


def once_of_each(maxsize: int) -> Callable[[Callable[[Unpack[Objects]], Made]], Callable[[Unpack[Objects]], Made]]:
    """Keep what a function makes of its arguments, which are told apart by identity, the most used ones."""

    def keeping(make: Callable[[Unpack[Objects]], Made]) -> Callable[[Unpack[Objects]], Made]:
        @lru_cache(maxsize)
        def made(same: _Same) -> Made:
            return make(*same.objects)

        @wraps(make)
        def get(*objects: *Objects) -> Made:
            return made(_Same(objects))

        return get

    return keeping


class _Same:
    """Objects as a key: the same only if all of them are the same objects."""

    def __init__(self, objects: tuple[Any, ...]):
        self.objects = objects
        self._ids = tuple(map(id, objects))

    def __hash__(self) -> int:
        return hash(self._ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._ids == self._ids
