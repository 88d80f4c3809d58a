"""Drift is noticed where there is some, and not where there is none."""

import random

import pytest

from deepaas_core.domain.drift import drifted, population_stability


@pytest.fixture
def chance():
    return random.Random(7)


def test_the_same_distribution_is_no_drift_whatever_the_size(chance):
    trained_on = [chance.gauss(50, 10) for _ in range(5000)]

    for size in (50, 200, 1000):
        assert population_stability(trained_on, [chance.gauss(50, 10) for _ in range(size)]) < 0.15


def test_a_shifted_or_a_wider_distribution_is_drift(chance):
    trained_on = [chance.gauss(50, 10) for _ in range(5000)]

    assert population_stability(trained_on, [chance.gauss(58, 10) for _ in range(500)]) > 0.3
    assert population_stability(trained_on, [chance.gauss(50, 25) for _ in range(500)]) > 0.3


def test_classes_are_compared_by_their_shares(chance):
    trained_on = chance.choices(["shop", "web", "phone"], [6, 3, 1], k=3000)

    assert population_stability(trained_on, chance.choices(["shop", "web", "phone"], [6, 3, 1], k=300)) < 0.1
    assert population_stability(trained_on, chance.choices(["shop", "web", "phone"], [2, 3, 5], k=300)) > 0.5
    assert population_stability(trained_on, ["abroad"] * 100) > 1


def test_values_that_have_become_rare_or_missing_are_drift(chance):
    trained_on = [chance.randrange(100) for _ in range(2000)]

    assert population_stability(trained_on, [None if one < 40 else one for one in trained_on[:500]]) > 0.3


def test_a_number_that_is_nearly_always_the_same_has_few_parts(chance):
    trained_on = [0] * 900 + [1] * 100

    assert population_stability(trained_on, [0] * 88 + [1] * 12) < 0.1
    assert population_stability(trained_on, [0] * 40 + [1] * 60) > 0.5


def test_without_values_there_is_nothing_to_say():
    assert population_stability([], [1.0]) == population_stability([1.0], []) == 0


def test_the_features_that_drift_are_named_the_worst_first(chance):
    trained_on = {
        "amount": [chance.gauss(50, 10) for _ in range(2000)],
        "age": [chance.gauss(40, 5) for _ in range(2000)],
        "kind": chance.choices("ab", k=2000),
    }
    asked = {
        "amount": [chance.gauss(60, 10) for _ in range(300)],
        "age": [chance.gauss(60, 5) for _ in range(300)],
        "kind": chance.choices("ab", k=300),
    }

    assert list(drifted(trained_on, asked, most=0.2)) == ["age", "amount"]
