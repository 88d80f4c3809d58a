"""The rule that says when a batch starts."""

import pytest

from deepaas_core.executors.batching import Linger


def test_a_single_caller_is_never_kept_waiting():
    linger = Linger(max_size=64)
    assert linger.wait_s(waiting=1, now=0.0) == 0
    linger.finished(size=1, waiting=0, duration_s=0.004)
    assert linger.wait_s(waiting=1, now=0.1) == 0


def test_as_many_calls_are_awaited_as_the_last_cycle_showed():
    linger = Linger(max_size=64)
    linger.finished(size=5, waiting=3, duration_s=0.04)
    assert linger.wait_s(waiting=3, now=0.0) > 0
    assert linger.wait_s(waiting=8, now=0.0001) == 0


def test_a_batch_starts_once_calls_stop_coming_in():
    linger = Linger(max_size=64)
    linger.finished(size=20, waiting=0, duration_s=0.04)
    pause = linger.wait_s(waiting=3, now=0.0)
    assert linger.wait_s(waiting=7, now=pause) > 0
    assert linger.wait_s(waiting=7, now=2 * pause) == 0


def test_nobody_waits_longer_than_a_quarter_of_a_batch():
    linger = Linger(max_size=64)
    linger.finished(size=60, waiting=0, duration_s=0.04)
    now, waiting = 0.0, 1
    while (pause := linger.wait_s(waiting, now)) > 0:
        now, waiting = now + pause, waiting + 1
    assert 0.008 < now <= 0.0125


def test_a_full_batch_starts_at_once():
    linger = Linger(max_size=8)
    linger.finished(size=8, waiting=30, duration_s=0.04)
    assert linger.wait_s(waiting=8, now=0.0) == 0


@pytest.mark.parametrize("waiting", [1, 5])
def test_a_fixed_wait_is_kept_when_it_was_asked_for(waiting):
    linger = Linger(max_size=8, fixed_s=0.005)
    assert linger.wait_s(waiting, now=0.0) == 0.005
    assert linger.wait_s(waiting, now=0.005) == 0
