"""Rows against declared features."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy
import pytest
from PIL import Image

from deepaas_core.domain.features import Checker
from deepaas_core.domain.service import Feature, FeatureType

NUMBER, INTEGER, BOOLEAN = FeatureType.NUMBER, FeatureType.INTEGER, FeatureType.BOOLEAN
TEXT, CATEGORICAL, ARRAY, IMAGE = FeatureType.TEXT, FeatureType.CATEGORICAL, FeatureType.ARRAY, FeatureType.IMAGE


def value_of(feature: Feature, value: Any) -> Any:
    """What the model gets for a value of JSON; the sentence of the issue if it gets nothing."""
    checked = Checker([feature]).check([{"x": value}])
    [record] = checked.records
    return checked.issues[0][0].detail if record is None else record["x"]


def cell_of(feature: Feature, cell: str, comma: bool = False) -> Any:
    """What the model gets for a cell; the sentence of the issue if it gets nothing."""
    checked = Checker([feature]).check_cells({"x": [cell]}, 1, comma)
    [record] = checked.records
    return checked.issues[0][0].detail if record is None else record["x"]


def array_of(marked: Any) -> Any:
    told = marked["$array"]
    return numpy.frombuffer(base64.b64decode(told["data"]), told["dtype"]).reshape(told["shape"])


def picture(size: tuple[int, int] = (4, 2), mode: str = "RGB", kind: str = "PNG", color: Any = (255, 0, 0)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    "feature, value, expected",
    [
        (Feature("x"), 3, 3),
        (Feature("x"), 3.5, 3.5),
        (Feature("x"), [3.5], 3.5),
        (Feature("x"), "3", "Must be a number."),
        (Feature("x"), True, "Must be a number."),
        (Feature("x", minimum=0), -1, "Must be a number of at least 0."),
        (Feature("x", minimum=0, maximum=1), 2, "Must be a number from 0 to 1."),
        (Feature("x", INTEGER), 3.0, 3),
        (Feature("x", INTEGER), 3.5, "Must be a whole number."),
        (Feature("x", BOOLEAN), False, False),
        (Feature("x", BOOLEAN), 1, True),
        (Feature("x", BOOLEAN), "yes", "Must be true or false."),
        (Feature("x", TEXT), "a", "a"),
        (Feature("x", TEXT), 3, "Must be text."),
        (Feature("x", CATEGORICAL, classes=("good", "bad")), "good", "good"),
        (Feature("x", CATEGORICAL, classes=("good", "bad")), "god", "Must be one of good, bad. Did you mean 'good'?"),
        (Feature("x", CATEGORICAL, classes=(0, 1)), 1.0, 1),
        (Feature("x", CATEGORICAL, classes=(0, 1)), True, "Must be one of 0, 1."),
        (Feature("x", CATEGORICAL, classes=(True, False)), True, True),
        (Feature("x"), None, "This input is required."),
        (Feature("x", required=False), None, None),
        (Feature("x", required=False, default=7), None, 7),
        (Feature("x", ARRAY, shape=(2,)), [1], "Must be nested lists of numbers of the shape 2, not 1."),
        (Feature("x", ARRAY), "1", "Must be nested lists of numbers."),
        (Feature("x", ARRAY), [["a"]], "Must be nested lists of numbers."),
        (
            Feature("x", ARRAY),
            [[1], [1, 2]],
            "Must be nested lists of numbers, and its lists are not equally long.",
        ),
        (Feature("x", IMAGE, shape=(2, 2, 3)), 3, "Must be a picture, as base64 or a data URL."),
        (Feature("x", IMAGE, shape=(2, 2, 3)), "äöü", "Must be a picture, as base64 or a data URL."),
    ],
)
def test_a_value_is_what_its_feature_says_or_is_told(feature: Feature, value: Any, expected: Any):
    found = value_of(feature, value)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "feature, cell, expected",
    [
        (Feature("x"), "3", 3),
        (Feature("x"), " 3.5 ", 3.5),
        (Feature("x"), "1e3", 1000.0),
        (Feature("x"), ".5", 0.5),
        (Feature("x"), "007", 7),
        (Feature("x"), "1_000", "Must be a number."),
        (Feature("x"), "inf", "Must be a number."),
        (Feature("x"), "1,5", "Must be a number."),
        (Feature("x"), "NA", "This input is required."),
        (Feature("x"), "", "This input is required."),
        (Feature("x", required=False, default=4), "nan", 4),
        (Feature("x", INTEGER), "3.0", 3),
        (Feature("x", INTEGER), "9" * 400, "Must be a whole number."),
        (Feature("x", BOOLEAN), "Yes", True),
        (Feature("x", BOOLEAN), "FALSE", False),
        (Feature("x", BOOLEAN), "maybe", "Must be true or false."),
        (Feature("x", TEXT), " NA ", " NA "),
        (Feature("x", TEXT), "", "This input is required."),
        (Feature("x", CATEGORICAL, classes=(0, 1)), "1", 1),
        (Feature("x", CATEGORICAL, classes=("A14", "A11")), "A11 ", "A11"),
        (Feature("x", CATEGORICAL, classes=(True, False)), "true", True),
    ],
)
def test_a_cell_becomes_the_value_that_it_would_be_as_json(feature: Feature, cell: str, expected: Any):
    found = cell_of(feature, cell)

    assert found == expected
    assert type(found) is type(expected)


def test_a_comma_is_a_decimal_point_where_it_does_not_separate_cells():
    assert cell_of(Feature("x"), "1,5", comma=True) == 1.5


def test_a_cell_with_several_numbers_is_none():
    checked = Checker([Feature("x")]).check_cells({"x": ["1,2", "3"]}, 2)

    assert checked.records == [None, {"x": 3}]


def test_what_is_wrong_with_a_row_spoils_no_other():
    rows = [{"age": 3}, {"age": "x"}, {"ag": 4, "age": 5}, 7, {}]

    checked = Checker([Feature("age", INTEGER)]).check(rows)

    assert checked.records == [{"age": 3}, None, None, None, None]
    assert {at: [(issue.pointer, issue.detail) for issue in issues] for at, issues in checked.issues.items()} == {
        1: [("/age", "Must be a whole number.")],
        2: [("/ag", "Unknown input. Did you mean 'age'?")],
        3: [("", "Must be an object of inputs by name.")],
        4: [("/age", "This input is required.")],
    }


def test_what_the_function_has_a_default_for_is_left_to_it():
    checker = Checker([Feature("a"), Feature("b", required=False), Feature("c", required=False)], has_default={"b"})

    assert checker.check([{"a": 1}, {"a": 1, "b": 2, "c": 3}]).records == [
        {"a": 1, "c": None},
        {"a": 1, "b": 2, "c": 3},
    ]


def test_columns_that_are_no_inputs_are_ignored_and_those_that_are_missing_are_named():
    checker = Checker([Feature("age"), Feature("note", TEXT, required=False)])

    assert checker.check_cells({"id": ["7"], "age": ["3"]}, 1).records == [{"age": 3, "note": None}]
    assert [issue.detail for issue in checker.missing(["Age", "id"])] == [
        "There is no such column. Did you mean 'Age'?"
    ]


def test_an_array_crosses_as_one():
    found = array_of(value_of(Feature("x", ARRAY, shape=(2, None)), [[1, 2, 3], [4, 5, 6]]))

    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_the_default_of_an_array_is_one_too():
    feature = Feature("x", ARRAY, required=False, default=[1, 2])

    assert array_of(Checker([feature]).check([{}]).records[0]["x"]).tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["png", "jpg", "jpeg", "x-whatever"])
def test_a_picture_may_claim_to_be_of_any_type(kind: str):
    url = f"data:image/{kind};base64,{base64.b64encode(picture()).decode()}"

    assert array_of(value_of(Feature("x", IMAGE, shape=(2, 4, 3)), url)).tolist() == [[[255, 0, 0]] * 4] * 2


@pytest.mark.parametrize("shape", [(8, 8, 3), (None, None, 3), (8, 8, 1), (8, None, 4)])
def test_a_picture_gets_the_resolution_that_is_declared(shape: tuple[int | None, ...]):
    text = base64.b64encode(picture((4, 2), "RGBA", color=(9, 9, 9, 0))).decode()

    found = array_of(value_of(Feature("x", IMAGE, shape=shape), text))

    assert found.shape == tuple(length or given for length, given in zip(shape, (2, 4, 3), strict=True))
    assert found.dtype == "uint8"


@pytest.mark.parametrize(
    "mode, color", [("L", 7), ("1", 1), ("P", 3), ("LA", (7, 9)), ("I;16", 300), ("CMYK", (1, 2, 3, 4))]
)
def test_pictures_of_other_kinds_are_read(mode: str, color: Any):
    kind = "TIFF" if mode == "CMYK" else "PNG"

    assert array_of(
        value_of(Feature("x", IMAGE, shape=(2, 2, 3)), base64.b64encode(picture((3, 3), mode, kind, color)).decode())
    ).shape == (2, 2, 3)


def test_a_picture_that_is_cut_off_is_told():
    text = base64.b64encode(picture((64, 64))[:-40]).decode()

    assert (
        value_of(Feature("x", IMAGE, shape=(2, 2, 3)), text)
        == "Must be a picture, as base64 or a data URL, and it is cut off or broken."
    )


def test_a_picture_that_unpacks_to_too_much_is_refused():
    text = base64.b64encode(picture((20_000, 20_000), "1", color=0)).decode()

    assert value_of(Feature("x", IMAGE, shape=(2, 2, 3)), text).endswith("of at most 50000000 pixels.")


def test_fewer_rows_with_pictures_go_into_one_call():
    assert Checker([Feature("x")]).call_rows == 500
    assert Checker([Feature("x", IMAGE, shape=(512, 512, 3))]).call_rows == 8
