"""What of a prediction goes into the log, and what it comes down to."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from deepaas_core.domain.argument import Argument
from deepaas_core.domain.model import Capability
from deepaas_core.domain.prediction import Prediction
from deepaas_core.domain.prediction_log import LogMode, LogRules, Predicted, folded, predicted, step_of
from deepaas_core.executors.base import Call
from deepaas_core.serving.transcript import Seen, entry_of
from deepaas_core.web.rest import charts

FULL = LogRules(LogMode.FULL)


def seen(rules=FULL, **given) -> Seen:
    return Seen(rules, 1714566615.5, "r1", "churn", "risk", **given)


def a_call(body=b"", payload=None, **values) -> Call:
    return Call(Capability.PREDICT_DATA, values, payload or {"form": "json"}, body)


def an_answer(body: bytes) -> Prediction:
    return Prediction("churn", "1.0", body)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (1.5, Predicted(1.5)),
        (3, Predicted(3.0, "3")),
        (True, Predicted(None, "true")),
        ("good", Predicted(None, "good")),
        (["good"], Predicted(None, "good")),
        ({"prediction": [0.25]}, Predicted(0.25)),
        ({"predictions": [{"label": "cat"}]}, Predicted(None, "cat")),
        (
            {"risk": "bad", "probabilities": {"risk": {"good": 0.25, "bad": 0.75}}},
            Predicted(None, "bad", {"good": 0.25, "bad": 0.75}),
        ),
        ({"probabilities": {"a": 0.1, "b": 0.9}}, Predicted(None, "b", {"a": 0.1, "b": 0.9})),
        ([1, 2, 3], Predicted()),
        ({"something": "else"}, Predicted()),
        (None, Predicted()),
        ("nul\0", Predicted(None, "nul\ufffd")),
        ([[[[[[1]]]]]], Predicted()),
    ],
)
def test_an_output_comes_down_to_a_number_or_a_class(output, told):
    assert predicted(output, "risk") == told


def test_names_are_redacted_at_any_depth_in_whatever_letters():
    rules = LogRules(LogMode.FULL, redact=folded(["Iban", "name"]))
    told = entry_of(
        seen(
            rules,
            inputs=a_call(b'{"customer": [{"IBAN": "DE1", "age": 5}]}', name="Ada", size=3),
            output=an_answer(b'{"prediction": "good", "iban": "DE1"}'),
            context='{"deep": {"Name": "Ada"}}',
        )
    )
    gone = "[redacted]"
    assert json.loads(told.inputs) == {"data": {"customer": [{"IBAN": gone, "age": 5}]}, "name": gone, "size": 3}
    assert json.loads(told.output) == {"prediction": "good", "iban": gone}
    assert json.loads(told.context) == {"deep": {"Name": gone}}
    assert told.predicted.category == "good"


def test_a_redacted_prediction_is_no_class():
    told = entry_of(seen(LogRules(LogMode.FULL, redact=folded(["prediction"])), output=an_answer(b'{"prediction": 1}')))
    assert told.predicted == Predicted()


def test_where_names_are_redacted_text_is_not_kept_as_nobody_knows_what_is_in_it():
    text = a_call(b"iban;DE1", {"form": "text"})
    assert json.loads(entry_of(seen(inputs=text)).inputs) == {"data": "iban;DE1"}
    strict = LogRules(LogMode.FULL, redact=frozenset({"iban"}))
    told = entry_of(seen(strict, inputs=text, context="iban DE1"))
    assert json.loads(told.inputs) == {"data": "[redacted]"}
    assert json.loads(told.context) == "[redacted]"


def test_what_is_secret_is_not_kept():
    arguments = {"api_key": Argument("api_key", "api_key", secret=True)}
    told = entry_of(seen(inputs=a_call(b"1", api_key="s3cret"), arguments=arguments))
    assert json.loads(told.inputs) == {"data": 1, "api_key": "[redacted]"}


@pytest.mark.parametrize("body", [b"{", b"[NaN]", b"\xff", b'"\\ud800"'])
def test_data_that_is_no_json_leaves_its_length(body):
    assert json.loads(entry_of(seen(inputs=a_call(body))).inputs) == {"data": {"$bytes": len(body)}}


def test_what_is_too_long_leaves_its_length():
    told = entry_of(seen(LogRules(LogMode.FULL, max_bytes=100), inputs={"x": "y" * 200}, output=[1.0] * 200))
    assert json.loads(told.inputs) == {"$bytes": 208}
    assert json.loads(told.output) == {"$bytes": 801}


def test_files_leave_their_names_and_no_path():
    payload = {"path": "/srv/scratch/upload-0.png", "filename": "cat.png", "content_type": "image/png"}
    mask = {"name": "mask", "filename": "/srv/scratch/upload-1", "content_type": "image/png", "original_filename": "m"}
    told = entry_of(seen(inputs=a_call(payload=payload, mask=mask)))
    assert json.loads(told.inputs) == {
        "data": {"content_type": "image/png", "filename": "cat.png"},
        "mask": {"filename": "m", "content_type": "image/png"},
    }


def test_inputs_and_outputs_are_kept_only_if_the_rules_say_so():
    rules = LogRules(LogMode.FULL, inputs=False, outputs=False)
    told = entry_of(seen(rules, inputs=a_call(b"1"), output=an_answer(b'"good"')))
    assert (told.inputs, told.output, told.predicted) == (None, None, Predicted())


def test_the_author_of_a_service_has_the_last_word_but_on_what_the_operator_redacts():
    rules = LogRules(redact=frozenset({"iban"})).over({"log": "sampled", "sample": 0.5, "redact": ["Name"]})
    assert (rules.mode, rules.sample, rules.redact) == (LogMode.SAMPLED, 0.5, {"iban", "name"})


@pytest.mark.parametrize(
    "span, step",
    [
        (timedelta(microseconds=1), timedelta(seconds=1)),
        (timedelta(seconds=157), timedelta(seconds=5)),
        (timedelta(days=1), timedelta(minutes=30)),
        (timedelta(days=40), timedelta(days=1)),
        (timedelta(days=100), timedelta(days=3)),
    ],
)
def test_a_timeline_has_steps_that_are_easy_to_read(span, step):
    assert step_of(span) == step


def test_what_stands_below_bars_has_room():
    places = [f"21 Nov 15:27:{second:02}" for second in range(48)]
    picture = charts.bars("predictions", places, {"all": [1.0] * 48})
    assert 2 <= len(re.findall(r">21 Nov [^<·]+</text>", picture)) <= 6
