"""An automation's steps, and how its new version is called and shares the traffic."""

from datetime import UTC, datetime

import pytest

from deepaas_core.domain.automation import (
    Automation,
    DriftCheck,
    Execution,
    ExecutionState,
    StepName,
    StepState,
    automations_of,
    named,
    shared,
)
from deepaas_core.domain.reports import Condition
from deepaas_core.domain.service import Service, Target
from deepaas_core.errors import DefinitionRefused
from deepaas_core.publishing.definition import read

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


SERVICE = """
name = "fraud"
[endpoints.score]
kind = "prediction"
script = "score.py:predict"
inputs = { amount = "number" }
[automations.nightly]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "score.py").write_text("def predict(amount): ...\ndef train(): ...\n")
    (tmp_path / "known.csv").write_text("amount,money\n1,1\n")
    (tmp_path / "other.csv").write_text("time\n3\n")
    return tmp_path


def test_what_a_service_says_of_an_automation_is_read(folder):
    (folder / "service.toml").write_text(
        SERVICE
        + 'schedule = "0 3 * * *"\ntrain = "score.py:train"\ncheck = ["auc >= 0.8"]\n'
        + 'drift = { reference = "known.csv", endpoint = "score", features = { amount = "money" } }\n'
        + 'publish = "auto-${date}"\ndeploy = 0.5\n'
    )

    [automation] = automations_of(Service.from_plain(read(folder).to_plain())).values()

    assert automation == Automation(
        "nightly",
        schedule="0 3 * * *",
        train=Target("score.py", "train"),
        conditions=(Condition.parse("auc >= 0.8"),),
        drift=DriftCheck("known.csv", "score", {"amount": "money"}),
        publish="auto-${date}",
        deploy=0.5,
    )


@pytest.mark.parametrize(
    "said, member, expected",
    [
        ('schedule = "0 3 * * *"', "automations.nightly", "Must have a step"),
        ('schedule = "at three"\ntrain = "score.py:train"', "schedule", "five fields of cron"),
        ('schedule = "0 0 3 * * *"\ntrain = "score.py:train"', "schedule", "five fields of cron"),
        ('train = "score.py:trian"', "train", "has no function"),
        ('check = ["auc >= 0.8"]', "check", "`train` or `after_run_of`"),
        ('train = "digits"\ncheck = ["well enough"]', "check[0]", "a metric, a comparison and a number"),
        ('train = "digits"\nafter_run_of = "digits"', "after_run_of", "leave out"),
        ('train = "digits"\ndeploy = 1', "deploy", "`publish`"),
        ('train = "digits"\npublish = "auto-${day}"', "publish", "${version}"),
        ('train = "digits"\npublish = "auto ${date}"', "publish", "letters, digits"),
        ('drift = { reference = "../known.csv", endpoint = "score" }', "drift.reference", "file in this folder"),
        ('drift = { reference = "known.csv", endpoint = "scores" }', "drift.endpoint", "Did you mean 'score'?"),
        (
            'drift = { reference = "known.csv", endpoint = "score", features = ["amout"] }',
            "drift.features",
            "'amout' is no input that is a number or a class. Did you mean 'amount'?",
        ),
        (
            'drift = { reference = "known.csv", endpoint = "score", features = { amount = "mony" } }',
            "drift.features",
            "known.csv has no column 'mony'. Did you mean 'money'?",
        ),
        (
            'drift = { reference = "other.csv", endpoint = "score" }',
            "drift.reference",
            "Has none of the columns amount",
        ),
    ],
)
def test_what_an_automation_cannot_be_is_told(folder, said, member, expected):
    (folder / "service.toml").write_text(SERVICE + said)

    with pytest.raises(DefinitionRefused) as refused:
        read(folder)

    [fault] = refused.value.faults
    assert fault.member.endswith(member)
    assert expected in fault.detail
