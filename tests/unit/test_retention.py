"""What is kept, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deepaas_core.domain.retention import Retention, Rule

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def test_everything_is_kept_unless_something_else_is_asked_for():
    assert not Retention().ever
    assert not Rule().is_over(NOW - timedelta(days=10_000), 10_000, NOW)


@pytest.mark.parametrize(
    "rule, days_ago, rank, over",
    [
        (Rule(days=7), 6.9, 100, False),
        (Rule(days=7), 7.1, 0, True),
        (Rule(count=2), 100, 1, False),
        (Rule(count=2), 0, 2, True),
        (Rule(count=0), 0, 0, True),
        (Rule(days=7, count=2), 1, 2, True),
        (Rule(days=7, count=2), 8, 0, True),
        (Rule(days=7, count=2), 1, 1, False),
    ],
)
def test_age_and_number_each_come_to_an_end(rule, days_ago, rank, over):
    assert rule.ever
    assert rule.is_over(NOW - timedelta(days=days_ago), rank, NOW) is over
