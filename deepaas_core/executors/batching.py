"""When to start a batch: a rule that tunes itself.

A batch of many rows often costs hardly more than a batch of one, so it pays to wait a little for more; but how long
depends on the model and on how many callers there are. The rule looks at what the last cycle showed: as many calls as
were answered by the last batch or waited when it ended may be expected again. It waits for that many, never longer
than a quarter of what a batch takes, and not at all once calls have stopped coming in. A single caller is thus served
at once, and a crowd is served together. There is nothing to configure.
"""

from __future__ import annotations

#: The longest wait for more calls, as a share of the moving average of a batch's duration.
PATIENCE = 0.25
#: Calls are taken to have stopped coming in after this share of a batch's duration without one.
PAUSE = 0.04
PAUSE_MIN_S = 0.0002


class Linger:
    """Decides whether a worker that is free starts with what waits, or waits for more.

    Args:
        max_size: Rows in a batch, at most.
        fixed_s: Wait this long for every batch instead, because somebody asked for it; None for the rule.
    """

    def __init__(self, max_size: int, fixed_s: float | None = None):
        self._max_size = max_size
        self._fixed_s = fixed_s
        self._mean_s = 0.0
        self._expected = 1
        self._since: float | None = None
        self._seen = 0
        self._seen_at = 0.0

    def finished(self, size: int, waiting: int, duration_s: float) -> None:
        """A batch of ``size`` rows has been answered, and ``waiting`` calls wait already."""
        self._expected = size + waiting
        self._mean_s += (duration_s - self._mean_s) * (0.2 if self._mean_s else 1.0)
        self._since = None

    def wait_s(self, waiting: int, now: float) -> float:
        """Seconds until the question should be asked again; 0 means: start now.

        Args:
            waiting: Calls that could go into the batch.
            now: Seconds on any clock that only goes forward.
        """
        if waiting >= min(self._expected if self._fixed_s is None else self._max_size, self._max_size):
            return self._start()
        if self._since is None:
            self._since, self._seen = now, 0
        if waiting != self._seen:
            self._seen, self._seen_at = waiting, now
        until = self._since + self._patience_s()
        if self._fixed_s is None:
            until = min(until, self._seen_at + self._pause_s())
        return until - now if until > now else self._start()

    def _start(self) -> float:
        self._since = None
        return 0.0

    def _patience_s(self) -> float:
        return PATIENCE * self._mean_s if self._fixed_s is None else self._fixed_s

    def _pause_s(self) -> float:
        return max(PAUSE_MIN_S, PAUSE * self._mean_s)
