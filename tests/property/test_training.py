"""Whatever happens to a run, in whatever order, its record stays true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from deepaas_core.domain.training import Ending, Process, Run, RunError, RunState
from deepaas_core.errors import Conflict, RunAlreadyOver

NOW = datetime(2024, 5, 1, tzinfo=UTC)
STEPS = {
    "start": lambda run, at: run.start(at),
    "attach": lambda run, at: run.attach(Process(1, "a")),
    "requeue": lambda run, at: run.requeue(),
    "succeed": lambda run, at: run.succeed(at, 1),
    "fail": lambda run, at: run.fail(at, RunError("ValueError", "no")),
    "cancel": lambda run, at: run.cancel(at),
    "interrupt": lambda run, at: run.interrupt(at, "lost"),
    "end": lambda run, at: run.end(at, Ending(RunState.SUCCEEDED, at=at - timedelta(days=1))),
}
histories = st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(-100, 100)))


@given(histories)
def test_a_run_that_is_over_never_changes(history):
    run = Run.queued("digits", "1.0", {}, NOW)
    for name, seconds in history:
        try:
            after = STEPS[name](run, NOW + timedelta(seconds=seconds))
        except RunAlreadyOver:
            assert run.state.over
        except Conflict:
            assert not run.state.over
        else:
            assert not run.state.over
            run = after


@given(histories)
def test_what_a_record_says_fits_together(history):
    run = Run.queued("digits", "1.0", {}, NOW)
    for name, seconds in history:
        try:
            run = STEPS[name](run, NOW + timedelta(seconds=seconds))
        except Conflict:
            continue
        assert (run.finished_at is not None) == run.state.over
        assert run.duration_s is None or run.duration_s >= 0
        assert run.result is None or run.state is RunState.SUCCEEDED
        assert (run.error is not None) == (run.state in (RunState.FAILED, RunState.INTERRUPTED))
        assert run.state is not RunState.RUNNING or run.started_at is not None
        assert run.state is not RunState.QUEUED or (run.started_at, run.process) == (None, None)
