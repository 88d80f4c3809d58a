"""A script that nobody prepared becomes a folder that can be published."""

from __future__ import annotations

import pytest

from deepaas_core.errors import SettingsError
from deepaas_core.publishing import definition
from deepaas_core.publishing.staging import stage_script


def test_a_script_gets_a_definition(tmp_path):
    (tmp_path / "score.py").write_text("def predict(x):\n    return x\n")
    stage_script(tmp_path / "score.py", "predict", "churn", {"count": 2}, tmp_path / "staged")
    endpoint = definition.read(tmp_path / "staged").endpoints["predict"]
    assert (endpoint.targets[""].script, endpoint.targets[""].function) == ("score.py", "predict")
    assert endpoint.workers == {"count": 2}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def predict(x):\n    return x\n", "score.py has no function 'predct'; its functions: predict. Did you mean"),
        ("def predict(x:\n    return x\n", "score.py, line 1: This is not valid Python"),
    ],
)
def test_what_a_script_lacks_is_said_of_the_script_and_of_no_file_that_nobody_wrote(tmp_path, text, told):
    (tmp_path / "score.py").write_text(text)
    with pytest.raises(SettingsError, match=told):
        stage_script(tmp_path / "score.py", "predct", "churn", {}, tmp_path / "staged")
