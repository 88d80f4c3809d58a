"""How good predictions were, by their labels."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from deepaas_core.domain.prediction_log import LogEntry, Predicted, new_id
from deepaas_core.domain.quality import Quality, auc

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def compared(*pairs) -> Quality:
    quality = Quality()
    for predicted, label in pairs:
        quality.add(LogEntry(new_id(NOW), NOW, "r", "churn", "risk", predicted=predicted, label=json.dumps(label)))
    return quality


def test_accuracy_and_confusion_of_classes():
    good, bad = Predicted(None, "good"), Predicted(None, "bad")
    told = compared((good, "good"), (good, "good"), (bad, "good"), (bad, "bad"), (good, None)).classified()
    assert (told.count, told.accuracy, told.auc) == (4, 0.75, None)
    assert told.classes == ["bad", "good"]
    assert told.confusion == [[1, 0], [1, 2]]


def test_numbers_that_are_classes_are_compared_both_ways():
    quality = compared((Predicted(10.0, "10"), 10), (Predicted(9.0, "9"), "10"), (Predicted(2.0, "2"), 2.0))
    assert quality.classified().classes == ["2", "9", "10"]
    assert quality.classified().accuracy == pytest.approx(2 / 3)
    assert quality.estimated().count == 2


def test_numbers_are_off_by_so_much():
    told = compared((Predicted(1.0), 2), (Predicted(5.0), 4.0), (Predicted(7.5), 6)).estimated()
    assert told.mae == pytest.approx(3.5 / 3)
    assert told.rmse == pytest.approx(math.sqrt(4.25 / 3))
    assert told.bias == pytest.approx(0.5)
    assert told.r2 == pytest.approx(1 - 4.25 / 8)
    assert compared((Predicted(1.0), 2)).estimated().r2 is None


def test_nothing_is_compared_where_there_is_nothing_to_compare():
    quality = compared((Predicted(), "good"), (Predicted(1.0), "good"))
    assert (quality.count, quality.classified(), quality.estimated()) == (2, None, None)


def test_the_area_under_the_curve_is_how_likely_the_scores_are_in_order():
    generator = np.random.default_rng(7)
    positive = generator.random(300) < 0.4
    scores = np.round(generator.normal(positive, 1.0), 1)  # many are equal
    pairs = [(s > t) + (s == t) / 2 for s in scores[positive] for t in scores[~positive]]
    assert auc(positive, scores) == pytest.approx(sum(pairs) / len(pairs))
    assert auc(np.array([True, False]), np.array([1.0, 0.0])) == 1.0
    assert auc(np.array([True, True]), np.array([1.0, 0.0])) is None


def test_the_area_is_averaged_over_classes():
    told = compared(
        (Predicted(None, "a", {"a": 0.9, "b": 0.1}), "a"),
        (Predicted(None, "a", {"a": 0.6, "b": 0.4}), "b"),
        (Predicted(None, "b", {"a": 0.2, "b": 0.8}), "b"),
    ).classified()
    assert told.auc == 1.0


def test_very_many_classes_are_none():
    assert compared(*((Predicted(None, str(at)), str(at)) for at in range(99))).classified() is None
