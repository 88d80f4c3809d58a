"""What test queries expect, and how generations and shares are named and judged."""

import pytest

from deepaas_core.domain.deployment import next_version, share_complaints, unique_version
from deepaas_core.domain.rehearsal import difference


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (None, None),
        (1, 1.0),
        (0.3, 0.1 + 0.2),
        ("a", "a"),
        ([1, [2]], [1, [2.0]]),
        ({"a": 1}, {"a": 1, "more": 2}),
        ([{"p": {"yes": 0.5}}], [{"p": {"yes": 0.5000001, "no": 0.5}}]),
        (True, True),
    ],
)
def test_what_is_as_expected_differs_in_nothing(expected, answer):
    assert difference(expected, answer, 1e-6) == ""


@pytest.mark.parametrize(
    ("expected", "answer", "said"),
    [
        (1, 2, "2 instead of 1."),
        (1, True, "True instead of 1."),
        (1, "1", "'1' instead of 1."),
        (None, 0, "0 instead of None."),
        ([1], [1, 2], "2 items instead of 1."),
        ({"a": 1}, {}, "there is no 'a'."),
        ({"rows": [{"a": 1}, {"a": 2}]}, {"rows": [{"a": 1}, {"a": 3}]}, "At rows[1].a: 3 instead of 2."),
        ([1], {"0": 1}, "instead of"),
        (float("inf"), 1.0, "instead of"),
    ],
)
def test_the_first_thing_that_differs_is_named(expected, answer, said):
    assert said in difference(expected, answer, 1e-6)


def test_the_next_version_follows_the_greatest():
    assert next_version([]) == "v1"
    assert next_version(["v1", "v10", "v2", "auto", "vx", "version9"]) == "v11"


def test_a_unique_version_gets_the_first_free_number():
    assert unique_version("auto", []) == "auto"
    assert unique_version("auto", ["auto", "auto2"]) == "auto1"
    assert unique_version("auto", ["auto", "auto1", "auto2"]) == "auto3"


def test_shares_must_be_of_what_there_is_and_sum_to_one():
    assert share_complaints({"v1": 0.3, "v2": 0.7}, ["v1", "v2"]) == []
    assert share_complaints({"v1": 0.1 + 0.2, "v2": 0.7}, ["v1", "v2"]) == []
    assert [place for place, _ in share_complaints({"v1": float("nan"), "v3": 1}, ["v1", "v2"])] == ["v1", "v3"]
    assert [place for place, _ in share_complaints({"v1": 0.5}, ["v1"])] == [""]
