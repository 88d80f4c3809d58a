"""The life of a training run, step by step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deepaas_core.domain.training import Ending, Process, Run, RunError, RunState, is_run_id
from deepaas_core.errors import Conflict, RunAlreadyOver

NOW = datetime(2024, 5, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)


@pytest.fixture
def queued():
    return Run.queued("digits", "1.0", {"epochs": 3}, NOW)


@pytest.fixture
def running(queued):
    return queued.start(NOW)


def test_a_new_run_waits_under_an_id_nobody_guesses(queued):
    assert queued.state is RunState.QUEUED
    assert is_run_id(queued.id)
    assert Run.queued("digits", "1.0", {}, NOW).id != queued.id


@pytest.mark.parametrize(
    "text", ["", "x" * 32, "0" * 31, "0" * 33, "../" + "0" * 29, "0" * 32 + "\n", "٣" * 32, "A" * 32]
)
def test_what_is_no_id_is_not_looked_for(text):
    assert not is_run_id(text)


def test_a_run_that_returned_has_succeeded_with_its_duration(running):
    run = running.succeed(LATER, {"loss": 0.1})
    assert (run.state, run.result, run.duration_s) == (RunState.SUCCEEDED, {"loss": 0.1}, 90)


def test_a_run_that_goes_on_has_no_duration(running):
    assert running.duration_s is None


def test_a_run_cancelled_in_the_queue_never_lasted(queued):
    assert queued.cancel(LATER).duration_s is None


def test_a_clock_set_back_gives_no_negative_duration(running):
    assert running.cancel(NOW - timedelta(hours=1)).duration_s == 0


def test_the_process_knows_best_when_it_ended(running):
    ending = Ending(RunState.SUCCEEDED, at=NOW + timedelta(seconds=5))
    assert running.end(LATER, ending).duration_s == 5
    assert running.end(NOW, ending).duration_s == 0


def test_a_run_whose_process_never_began_goes_back_to_the_queue(running):
    assert running.requeue().state is RunState.QUEUED
    assert running.requeue().started_at is None
    with pytest.raises(Conflict):
        running.attach(Process(1, "a")).requeue()


def test_a_queued_run_may_fail_but_not_succeed(queued):
    assert queued.fail(LATER, RunError("launch", "no")).state is RunState.FAILED
    with pytest.raises(Conflict):
        queued.succeed(LATER, None)


def test_a_cancelled_run_stays_cancelled(running):
    with pytest.raises(RunAlreadyOver):
        running.cancel(LATER).succeed(LATER, None)
