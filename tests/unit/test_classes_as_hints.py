"""Classes with members as type hints: what is made of what is sent, and what is wrong with it."""

import dataclasses
import datetime
import json
from types import SimpleNamespace
from typing import Annotated, Generic, Literal, NamedTuple, Required, TypedDict, TypeVar

import pydantic
import pytest

from deepaas_core.executors.worker.describing import Invalid, describe


class Bounds(NamedTuple):
    ge: float | None = None
    lt: float | None = None


class Pattern(NamedTuple):
    pattern: str


@dataclasses.dataclass
class Part:
    size: Annotated[int, Bounds(ge=1, lt=9)]
    code: Annotated[str, Pattern("[A-Z]+")] = "A"
    kind: Literal["big", "small"] = "big"
    made: datetime.date | None = None
    seen: dataclasses.InitVar[int] = 0


class Pair(NamedTuple):
    one: int
    two: "Part"


class Loose(TypedDict, total=False):
    part: "Required[Part]"
    note: str


@dataclasses.dataclass
class Half:
    lost: "Missing" = None  # noqa: F821
    made: "datetime.date" = None


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    inside: T


@dataclasses.dataclass
class Twisted:
    left: "Turned | None" = None
    right: "Turned | None" = None
    again: "list[Turned]" = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Turned:
    left: Twisted | None = None
    right: Twisted | None = None
    size: int = 0


def of(hint):
    """The description of a function with this hint."""

    def predict(x):
        return x

    predict.__annotations__ = {"x": hint}
    return describe(SimpleNamespace(predict=predict))


def declared(hint):
    return of(hint).plain()["arguments"]["predict"]


def taken(hint, sent):
    """What a function with this hint is given, or what is wrong."""
    try:
        return of(hint).deserialize("predict", {"x": sent})["x"]
    except Invalid as invalid:
        return dict(invalid.issues)


@pytest.mark.parametrize(
    "hint, sent, given",
    [
        (Part, {"size": 2.0, "made": "2024-05-01", "seen": 3}, Part(2, made=datetime.date(2024, 5, 1))),
        (Part, {"size": [2]}, Part(2)),
        (Pair, {"one": 1, "two": {"size": 2}}, Pair(1, Part(2))),
        (Loose, {"part": {"size": 1}}, {"part": Part(1)}),
        (dict[str, list[Part]], {"a": [{"size": 1}]}, {"a": [Part(1)]}),
        (tuple[Part, int], [{"size": 1}, 2], (Part(1), 2)),
        (Part | Pair, {"one": 1, "two": {"size": 2}}, Pair(1, Part(2))),
        (Part | int, 5, 5),
        (Half, {"lost": [1], "made": "2024-05-01"}, Half([1], datetime.date(2024, 5, 1))),
        (Box[int], {"inside": 1}, Box(1)),
        (Twisted, {"left": {"left": {"left": {"size": 1}}}}, Twisted(Turned(Twisted(Turned(size=1))))),
    ],
)
def test_objects_are_made_of_what_is_sent(hint, sent, given):
    assert taken(hint, sent) == given


@pytest.mark.parametrize(
    "hint, sent, wrong",
    [
        (Part, {"size": 9}, {"/x/size": "Must be less than 9."}),
        (Part, {"size": "1"}, {"/x/size": "Must be an integer."}),
        (Part, {"size": 1, "code": "a"}, {"/x/code": "Must match [A-Z]+."}),
        (Part, {"size": 1, "kind": "odd"}, {"/x/kind": "Must be one of: big, small."}),
        (Part, {"size": None, "more": 1}, {"/x/size": "Must not be null.", "/x/more": "Unknown argument."}),
        (Part, {"size": 1, "made": "May"}, {"/x/made": "Must be a date such as 2024-12-31."}),
        (Part, [], {"/x": "Must be an object."}),
        (Part, None, {"/x": "Must be an object."}),
        (Loose, {}, {"/x/part": "This argument is required."}),
        (
            dict[str, list[Part]],
            {"a": 5, "b": [{"size": True}]},
            {"/x/a": "Must be a list.", "/x/b/0/size": "Must be an integer."},
        ),
        (dict[str, float], {"a": "5"}, {"/x/a": "Must be a number."}),
        (tuple[Part, int], [{"size": 1}, "2"], {"/x/1": "Must be an integer."}),
        (Twisted, {"left": {"left": {"left": {"size": "1"}}}}, {"/x/left/left/left/size": "Must be an integer."}),
        (Part | Pair, {"one": 1}, {"/x": "Must be a Part or a Pair."}),
    ],
)
def test_members_are_checked_wherever_they_are(hint, sent, wrong):
    assert taken(hint, sent) == wrong


def test_classes_that_refer_to_each_other_have_a_short_description():
    [plain] = declared(Twisted)
    assert len(json.dumps(plain)) < 100_000


class Json(pydantic.RootModel["int | list[Json]"]):
    pass


def test_a_model_of_one_value_may_hold_itself():
    assert declared(Json)[0]["opaque"] is True
    assert taken(Json, [1, [2]]).model_dump() == [1, [2]]
    assert taken(Json, "x").keys() == {"/x"}


def test_bounds_that_the_server_cannot_read_are_left_out():
    [plain] = declared(Annotated[int, Bounds(ge=1, lt=10**400)])
    assert (plain["minimum"], "maximum" in plain) == (1, False)


def test_a_default_object_is_no_calls_own():
    def predict(x: Box = Box([])):  # noqa: B008
        return x

    description = describe(SimpleNamespace(predict=predict))
    description.deserialize("predict", {})["x"].inside.append(1)
    assert description.deserialize("predict", {})["x"] == Box([])
