"""Who has to be done by when.

Most calls of a model have the same time limit, so they end in the order in which they began, and one timer does for all
of them: a timer for each call would be the dearest part of a quick one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls somebody for each that is still watched when its time is up.

    Args:
        expired: Called with it; it is not watched any more by then.
    """

    def __init__(self, expired: Callable[[T], None]):
        self._expired = expired
        self._in_order: OrderedDict[T, float] = OrderedDict()
        self._latest = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._own_timers: dict[T, asyncio.TimerHandle] = {}

    def watch(self, one: T, within_s: float) -> None:
        """Expect to hear of ``one``, which is not watched yet, within so many seconds."""
        loop = asyncio.get_running_loop()
        at = loop.time() + within_s
        if at < self._latest:  # sooner than one that came before
            self._own_timers[one] = loop.call_at(at, self._expire_alone, one)
            return
        self._latest = at
        self._in_order[one] = at
        if self._timer is None:
            self._timer = loop.call_at(at, self._look)

    def forget(self, one: T) -> None:
        """Watch ``one`` no more, if it is watched at all."""
        if self._in_order.pop(one, None) is None and self._own_timers:
            timer = self._own_timers.pop(one, None)
            if timer is not None:
                timer.cancel()

    def _expire_alone(self, one: T) -> None:
        del self._own_timers[one]
        self._expired(one)

    def _look(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        while self._in_order:
            one, at = next(iter(self._in_order.items()))
            if at > loop.time():
                if self._timer is None:  # whoever was told may have begun to watch others
                    self._timer = loop.call_at(at, self._look)
                return
            del self._in_order[one]
            self._expired(one)
