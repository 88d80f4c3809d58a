"""The JSON that a worker takes: strict, and nested no deeper than what models and results can take."""

import json

import pytest

from deepaas_core.executors.worker.calling import Refusal, read_json


@pytest.mark.parametrize("open_, close", [("[", "]"), ('{"a":', "}")])
def test_a_hundred_levels_are_taken_and_no_more(open_, close):
    assert read_json(f"{open_ * 100}1{close * 100}".encode()) is not None
    with pytest.raises(Refusal, match="malformed"):
        read_json(f"{open_ * 101}1{close * 101}".encode())


@pytest.mark.parametrize(
    "value",
    [
        [[0.5] * 20] * 500,
        ["[" * 300, '"{["\\' * 100],
        [{"key [": '\\"[', "b": [1]}] * 200,
        [[[]]] * 300,
    ],
)
def test_wide_values_and_brackets_in_strings_are_no_nesting(value):
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", [b"[" * 200_000, b"]" * 200, b'["' + b"[" * 200, b"[1, NaN]", b"", b"[" * 90])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(Refusal, match="malformed"):
        read_json(text)
