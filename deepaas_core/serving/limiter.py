"""How often somebody may come: token buckets, one for each token, model or address that has a limit.

A bucket holds a burst and fills at a steady rate. They are in memory, so a restart fills them; the HTTP processes of
one server share those of the main process, and servers on one database each have their own.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

#: With more buckets than this, those that are full again are dropped.
MANY = 10_000


@dataclass(frozen=True, slots=True)
class Charge:
    """One request, as it counts against one limit.

    Attributes:
        key: Whose bucket.
        per_s: How fast that fills.
        burst: What it holds.
    """

    key: str
    per_s: float
    burst: float


#: Takes a request from all the buckets, or from none; gives the seconds to wait, 0 if it was taken.
Spend = Callable[[Sequence[Charge]], Awaitable[float]]


class Limiter:
    """The buckets of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._buckets: dict[str, tuple[float, float, float]] = {}

    async def spend(self, charges: Sequence[Charge]) -> float:
        """See ``Spend``."""
        return self.spend_now(charges)

    def spend_now(self, charges: Sequence[Charge]) -> float:
        """As ``spend``, at once."""
        now, wait_s, after = self._clock(), 0.0, {}
        for charge in charges:
            level, at, _ = self._buckets.get(charge.key, (charge.burst, now, 0.0))
            level = min(charge.burst, level + (now - at) * charge.per_s) - 1
            wait_s = max(wait_s, -level / charge.per_s)
            after[charge.key] = (level, now, now + (charge.burst - level) / charge.per_s)
        if wait_s > 0:
            return wait_s
        self._buckets.update(after)
        if len(self._buckets) > MANY:
            self._drop(now)
        return 0.0

    def _drop(self, now: float) -> None:
        """Forget buckets that are full; if there are too many still, those that are full soonest."""
        by_fullness = sorted(self._buckets, key=lambda key: self._buckets[key][2])
        for place, key in enumerate(by_fullness):
            if self._buckets[key][2] > now and place > MANY // 2:
                break
            del self._buckets[key]
