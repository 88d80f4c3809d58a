"""How long what is left of runs is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Rule:
    """When something has been kept for long enough; without both numbers, never.

    Attributes:
        days: Since the run's end.
        count: How many ended runs of a model keep it, the newest.
    """

    days: float | None = None
    count: int | None = None

    @property
    def ever(self) -> bool:
        """Whether it ever comes to an end."""
        return self.days is not None or self.count is not None

    def is_over(self, finished_at: datetime, rank: int, now: datetime) -> bool:
        """Whether what a run left is to go.

        Args:
            finished_at: The run's end.
            rank: 0 for the newest ended run of its model, 1 for the one before, and so on.
            now: The time.
        """
        if self.count is not None and rank >= self.count:
            return True
        return self.days is not None and now - finished_at > timedelta(days=self.days)


@dataclass(frozen=True)
class Retention:
    """How long runs, their logs and their artifacts are kept; for ever by default."""

    runs: Rule = Rule()
    logs: Rule = Rule()
    artifacts: Rule = Rule()

    @property
    def ever(self) -> bool:
        """Whether anything ever goes."""
        return self.runs.ever or self.logs.ever or self.artifacts.ever
