"""What models return, as rows of the outputs that are declared."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from deepaas_core.executors.worker.scoring import Unfit, row, split

RISK = {"name": "risk", "type": "categorical", "classes": ["good", "bad"]}
RATE = {"name": "rate", "type": "number"}
MASK = {"name": "mask", "type": "array"}
BOTH = {"risk": "bad", "probabilities": {"risk": {"good": 0.25, "bad": 0.75}}}


@pytest.mark.parametrize(
    "value",
    [
        {"good": 0.25, "bad": 0.75},
        {"risk": "bad", "probabilities": {"good": 0.25, "bad": 0.75}},
        {"risk": "bad", "probabilities": {"risk": [0.25, 0.75]}},
        {"risk": {"good": 0.25, "bad": 0.75}},
        {"proba_good": 0.25, "proba_bad": 0.75},
        [0.25, 0.75],
        np.array([0.25, 0.75]),
        ("bad", [0.25, 0.75]),
        (np.array(["bad"]), np.array([0.25, 0.75])),
        pd.Series({"good": 0.25, "bad": 0.75}),
    ],
    ids=repr,
)
def test_a_class_and_its_probabilities_are_read_however_a_model_says_them(value):
    assert row(value, [RISK]) == BOTH


@pytest.mark.parametrize("value", ["bad", {"risk": "bad"}, 1, 1.0, np.int64(1), np.array(["bad"]), ["bad"], True])
def test_a_class_alone_has_no_probabilities(value):
    assert row(value, [RISK]) == {"risk": "bad"}


def test_classes_that_are_numbers_stay_numbers():
    digit = {"name": "digit", "type": "categorical", "classes": [0, 1, 2]}
    assert row(np.array([0.1, 0.7, 0.2]), [digit]) == {
        "digit": 1,
        "probabilities": {"digit": {"0": 0.1, "1": 0.7, "2": 0.2}},
    }
    assert row("2", [digit]) == {"digit": 2}


def test_a_class_that_got_no_probability_has_none():
    assert row({"bad": 1.0}, [RISK])["probabilities"] == {"risk": {"good": 0.0, "bad": 1.0}}


def test_nothing_is_predicted_where_the_model_says_nan():
    assert row(float("nan"), [RISK]) == {"risk": None}
    assert row([math.nan, math.nan], [RISK])["risk"] is None


@pytest.mark.parametrize("value", [2.5, [2.5], np.array([2.5]), np.array([[2.5]]), {"rate": 2.5}, np.float64(2.5)])
def test_a_number_is_read_however_a_model_says_it(value):
    assert row(value, [RATE]) == {"rate": 2.5}


def test_an_array_stays_one():
    assert row([1, 2], [MASK])["mask"] == [1, 2]
    assert row(np.array([[1]]), [MASK])["mask"].tolist() == [[1]]


class Pair(NamedTuple):
    risk: str
    rate: float


@dataclasses.dataclass
class Kept:
    risk: str
    rate: float
    other: str = "not declared"


@pytest.mark.parametrize("value", [("bad", 2.5), ["bad", 2.5], Pair("bad", 2.5), Kept("bad", 2.5)], ids=repr)
def test_several_outputs_come_by_name_or_in_order(value):
    assert row(value, [RISK, RATE]) == {"risk": "bad", "rate": 2.5}


def test_several_outputs_can_have_probabilities():
    value = {"risk": "bad", "rate": 1, "probabilities": {"risk": {"good": 0.25, "bad": 0.75}}}
    assert row(value, [RISK, RATE]) == {**BOTH, "rate": 1}


@pytest.mark.parametrize(
    "value, outputs, complaint",
    [
        ("ugly", [RISK], "'ugly' is none of the classes of 'risk': good, bad"),
        (0.3, [RISK], "0.3 is none of the classes"),
        ({"ugly": 1.0}, [RISK], "'ugly' is none of the classes"),
        ([0.1, 0.2, 0.7], [RISK], "3 probabilities for 'risk', which declares 2 classes"),
        ({"other": 1}, [RATE], "its result has no 'rate'; it has 'other'"),
        ({"rate": 1}, [RISK, RATE], "its result has no 'risk'; it has 'rate'"),
        (5, [RISK, RATE], "its result is an int, from which risk, rate cannot be told"),
        (None, [RISK, RATE], "its result is nothing"),
    ],
)
def test_what_does_not_fit_is_told(value, outputs, complaint):
    with pytest.raises(Unfit, match=complaint):
        row(value, outputs)


FRAME = pd.DataFrame({"good": [0.25, 1.0], "bad": [0.75, 0.0]})


@pytest.mark.parametrize(
    "value",
    [
        FRAME,
        FRAME.to_numpy(),
        FRAME.to_dict("list"),
        FRAME.to_dict(),
        FRAME.to_dict("records"),
        (["bad", "good"], FRAME.to_numpy()),
        (pd.Series(["bad", "good"], index=[7, 8]), FRAME),
        {"risk": ["bad", "good"], "probabilities": {"risk": FRAME.to_numpy()}},
        {"risk": ["bad", "good"], "probabilities": FRAME},
    ],
    ids=lambda value: type(value).__name__,
)
def test_results_of_many_records_are_told_apart(value: Any):
    assert [row(one, [RISK]) for one in split(value, 2, [RISK])] == [
        BOTH,
        {"risk": "good", "probabilities": {"risk": {"good": 1.0, "bad": 0.0}}},
    ]


def test_two_classes_for_two_records_are_no_class_with_probabilities():
    assert split(("good", "bad"), 2, [RISK]) == ["good", "bad"]
    assert split((0.1, 0.2), 2, [RATE]) == [0.1, 0.2]


@pytest.mark.parametrize(
    "value, complaint",
    [
        ([1, 2], "it returned 2 results for 3 records"),
        (5, "it returned an int for 3 records"),
        ("abc", "it returned a str for 3 records"),
        (None, "it returned nothing for 3 records"),
        ({"a": [1, 2]}, "of 'a', it returned 2 results for 3 records"),
        (np.array(1), "no list of results"),
    ],
)
def test_a_wrong_number_of_results_is_told(value, complaint):
    with pytest.raises(Unfit, match=complaint):
        split(value, 3)
