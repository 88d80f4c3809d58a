"""Token buckets."""

from __future__ import annotations

import pytest

from deepaas_core.serving import limiter as limiter_module
from deepaas_core.serving.limiter import Charge, Limiter


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(clock):
    return Limiter(clock)


def test_a_burst_is_taken_at_once_and_then_no_more_than_the_rate(limiter, clock):
    charge = [Charge("a", 2, 5)]
    assert [limiter.spend_now(charge) for _ in range(6)] == [0, 0, 0, 0, 0, 0.5]
    taken = 0
    for _ in range(1000):
        clock.now += 0.01
        taken += limiter.spend_now(charge) == 0
    assert taken in (19, 20)


def test_who_waits_as_long_as_told_is_served(limiter, clock):
    charge = [Charge("a", 0.3, 1)]
    limiter.spend_now(charge)
    clock.now += limiter.spend_now(charge) + 1e-6
    assert limiter.spend_now(charge) == 0


def test_what_one_bucket_refuses_costs_the_others_nothing(limiter):
    empty, full = Charge("empty", 0.001, 1), Charge("full", 0.001, 1)
    limiter.spend_now([empty])
    assert limiter.spend_now([full, empty]) > 0
    assert limiter.spend_now([full]) == 0


def test_buckets_do_not_pile_up(limiter, clock, monkeypatch):
    monkeypatch.setattr(limiter_module, "MANY", 100)
    for number in range(10_000):
        limiter.spend_now([Charge(f"source {number}", 0.001, 30)])
        clock.now += 0.001
    assert len(limiter._buckets) <= 101


def test_those_who_are_far_over_are_not_forgotten_first(limiter, monkeypatch):
    monkeypatch.setattr(limiter_module, "MANY", 100)
    worst = [Charge("worst", 0.001, 30)]
    for _ in range(30):
        limiter.spend_now(worst)
    for number in range(1000):
        limiter.spend_now([Charge(f"source {number}", 0.001, 30)])
    assert limiter.spend_now(worst) > 0
