"""An automation's steps, and how its new version is called and shares the traffic."""

from datetime import UTC, datetime

import pytest

from deepaas_core.domain.automation import (
    Automation,
    Execution,
    ExecutionState,
    StepName,
    StepState,
    named,
    shared,
)
from deepaas_core.domain.reports import Condition
from deepaas_core.domain.service import Target

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
NIGHTLY = Automation(
    "nightly",
    schedule="0 3 * * *",
    train=Target("train.py", "train"),
    conditions=(Condition.parse("accuracy >= 0.8"),),
    publish="auto",
    deploy=1.0,
)


def test_steps_are_done_in_order_to_the_end():
    execution = Execution.of("fraud", NIGHTLY, "v1", "schedule", NOW)
    done = []
    while (step := execution.next) is not None:
        done.append(step)
        execution = execution.moved(step, StepState.RUNNING, "", NOW).moved(step, StepState.DONE, "well", NOW)

    assert done == [StepName.TRAIN, StepName.CHECK, StepName.PUBLISH, StepName.DEPLOY]
    assert execution.state is ExecutionState.SUCCEEDED


def test_a_failed_check_stops_it():
    execution = Execution.of("fraud", NIGHTLY, "v1", "schedule", NOW).moved(StepName.TRAIN, StepState.DONE, "", NOW)
    execution = execution.moved(StepName.CHECK, StepState.FAILED, "accuracy is 0.7", NOW)

    assert execution.next is None
    assert execution.state is ExecutionState.FAILED
    assert [step.state for step in execution.steps] == ["done", "failed", "left_out", "left_out"]


def test_steps_that_nobody_asked_for_are_left_out():
    only_check = Automation("look", schedule="0 3 * * *", conditions=NIGHTLY.conditions)

    assert only_check.steps == (StepName.CHECK,)


def test_versions_are_called_by_variables():
    assert named("auto-${version}-${number}", "v1", 3, None, NOW) == "auto-v1-3"
    assert named("${date}-${run}", "v1", 3, "0123456789abcdef", NOW) == "20261121-01234567"
    for wrong in ("${day}", "costs $5"):
        with pytest.raises(ValueError, match=r"\$\{version\}"):
            named(wrong, "v1", 3, None, NOW)


def test_a_new_version_takes_its_part_and_the_others_share_the_rest():
    assert shared({"v1": 0.6, "v2": 0.4}, "auto", 0.5) == pytest.approx({"v1": 0.3, "v2": 0.2, "auto": 0.5})
    assert shared({"v1": 1.0}, "auto", 1.0) == {"auto": 1.0}
    assert shared({}, "auto", 0.3) == {"auto": 1.0}
