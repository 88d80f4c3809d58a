"""Whether somebody far away is gone, or only seems to be.

An observer sees signs of life and when they change, by his own clock alone; what the others' clocks say makes no
difference. One who looked away (the database was gone, his process was stopped) starts counting anew.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping


class Silence:
    """What one observer has seen of the others.

    Args:
        lease_s: Seconds without a new sign of life after which one is taken for gone.
        max_gap_s: Seconds between two looks after which what was seen before counts no more.
    """

    def __init__(self, lease_s: float, max_gap_s: float):
        self._lease_s, self._max_gap_s = lease_s, max_gap_s
        self._seen: dict[str, tuple[Hashable, float]] = {}
        self._last_look_s = float("-inf")

    @classmethod
    def watched(cls, lease_s: float, every_s: float) -> Silence:
        """What an observer sees who looks so often; a few looks may fail, and half a lease may pass without one."""
        return cls(lease_s, max(lease_s / 2, 3 * every_s))

    def look(self, now_s: float, signs: Mapping[str, Hashable]) -> set[str]:
        """Look at all of them.

        Args:
            now_s: The observer's own clock, which never goes back.
            signs: For each of the others something that changes as long as it lives.

        Returns:
            Those that have been silent for longer than the lease.
        """
        if now_s - self._last_look_s > self._max_gap_s:
            self._seen.clear()
        self._last_look_s = now_s
        before = self._seen
        self._seen = {
            name: before[name] if name in before and before[name][0] == sign else (sign, now_s)
            for name, sign in signs.items()
        }
        return {name for name, (_, since_s) in self._seen.items() if now_s - since_s > self._lease_s}
