"""Trying a function out: how long it takes, before it is deployed."""

import pytest

from deepaas_core import errors
from deepaas_core.domain.model import Capability
from deepaas_core.executors.base import Call
from deepaas_core.executors.process import Launch, StartFailed
from deepaas_core.executors.trial import try_out

SCRIPT = """
import os, time
time.sleep(0.2)

def predict(x, wait_s=0.0):
    time.sleep(wait_s)
    if x < 0:
        os._exit(3)
    return 1 / x
"""


@pytest.fixture
def launch(tmp_path):
    (tmp_path / "score.py").write_text(SCRIPT)
    return Launch("score", f"{tmp_path}/score.py:predict")


def call(timeout_s=20.0, **values):
    return Call(Capability.PREDICT, values, timeout_s=timeout_s)


async def test_a_trial_tells_what_start_and_one_call_take(launch):
    trial = await try_out(launch, call(x=2, wait_s=0.1))
    assert trial.start_s > 0.2
    assert trial.call_s > 0.1
    assert trial.memory_bytes > 2**20
    assert trial.result.body == b"0.5"
    assert trial.error is None
    assert trial.description["capabilities"] == ["predict"]


async def test_a_trial_needs_no_call(launch):
    trial = await try_out(launch)
    assert (trial.call_s, trial.result, trial.error) == (None, None, None)


@pytest.mark.parametrize(
    "values, error",
    [
        ({"x": 0}, errors.ModelFailure),
        ({"x": -1}, errors.ModelCrashed),
        ({"x": 1, "wait_s": 60, "timeout_s": 0.2}, errors.ModelTimeout),
    ],
    ids=["fails", "crashes", "hangs"],
)
async def test_a_trial_whose_call_fails_tells_why(launch, values, error):
    trial = await try_out(launch, call(**values))
    assert type(trial.error) is error
    assert trial.start_s > 0


async def test_what_does_not_start_says_so(launch):
    with pytest.raises(StartFailed, match="has no function 'other'"):
        await try_out(Launch("score", launch.target.replace(":predict", ":other")))
