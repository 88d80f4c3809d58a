"""What becomes of a model's result, type by type, on the fast way and on the careful one."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import itertools
import json
import pathlib
import sys
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest

from deepaas_core.executors.worker import encoding
from deepaas_core.executors.worker.encoding import Unencodable, describe_exception, encode


@pytest.fixture(params=["with orjson", "without orjson"], autouse=True)
def interpreter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's environment has orjson, or has not."""
    if request.param == "without orjson":
        monkeypatch.setattr(encoding, "_orjson", None)


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Box:
    label: str
    corner: Point
    _score: Any = None


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    pass


class Pydantic:
    def model_dump(self) -> dict[str, Any]:
        return {"a": np.int8(1)}


class Listed:
    def tolist(self) -> list[int]:
        return [1, 2]


class Arrayed:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([1.5])


UTC = dt.UTC
BIG_ENDIAN = np.array([1, 2], dtype=">i4")
RECORDS = np.array([(1, "a")], dtype=[("id", "i4"), ("name", "U1")])

PLAIN = [
    ({"a": [1, 2.5, "ü", True, None]}, {"a": [1, 2.5, "ü", True, None]}),
    ((1, (2,)), [1, [2]]),
    ([float("nan"), {"x": float("inf")}, (-float("inf"),)], [None, {"x": None}, [None]]),
    (2**64, 2**64),
    ([-(2**200)], [-(2**200)]),
    ({}, {}),
    ([[], {}, ""], [[], {}, ""]),
    (Point(1, 2.0), {"x": 1, "y": 2.0}),
    (Box("cat", Point(0, 0.5)), {"label": "cat", "corner": {"x": 0, "y": 0.5}, "_score": None}),
    ([Colour.RED, Level.HIGH], ["red", 3]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    (range(3), [0, 1, 2]),
    ({"z": 1, "a": 2}.keys(), ["z", "a"]),
    ({"z": 1, "a": 2}.items(), [["z", 1], ["a", 2]]),
    (collections.OrderedDict(b=1), {"b": 1}),
    (collections.Counter("aa"), {"a": 2}),
    (collections.deque([1, 2]), [1, 2]),
    ([Text("t"), True], ["t", True]),
    (dt.date(2024, 2, 29), "2024-02-29"),
    (dt.datetime(2024, 2, 29, 1, 2, 3), "2024-02-29T01:02:03"),
    (dt.datetime(2024, 2, 29, 1, 2, 3, 4, UTC), "2024-02-29T01:02:03.000004+00:00"),
    (dt.time(1, 2, tzinfo=UTC), "01:02:00+00:00"),
    (dt.timedelta(minutes=1, milliseconds=500), 60.5),
    (Decimal("0.1"), 0.1),
    (Decimal("1E+30"), 10**30),
    ([Decimal("NaN"), Decimal("Infinity"), Decimal("0E+5000")], [None, None, 0]),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    ([b"\x00\xff", bytearray(b"a"), memoryview(b"abc")[::2]], ["AP8=", "YQ==", "YWM="]),
    (
        {
            1: "i",
            2.5: "f",
            True is False: "b",
            None: "n",
            dt.date(2024, 1, 1): "d",
            uuid.UUID(int=1): "u",
            Colour.RED: "e",
        },
        {"1": "i", "2.5": "f", "false": "b", "null": "n", "2024-01-01": "d", str(uuid.UUID(int=1)): "u", "red": "e"},
    ),
    ({np.int64(1): 1, np.str_("s"): 2, Text("t"): 3}, {"1": 1, "s": 2, "t": 3}),
    ([Pydantic(), Listed(), Arrayed()], [{"a": 1}, [1, 2], [1.5]]),
]

NUMPY = [
    (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
    (np.arange(6).reshape(2, 3).T[::2], [[0, 3], [2, 5]]),
    (BIG_ENDIAN, [1, 2]),
    (np.float32([0.1, np.nan, np.inf]), [0.1, None, None]),
    (np.float16([0.5]), [0.5]),
    (np.longdouble([0.5]), [0.5]),
    (np.array([True, False]), [True, False]),
    (np.array(3), 3),
    (np.array(2.5), 2.5),
    (np.zeros((2, 0)), [[], []]),
    (np.array(["a", "ü"]), ["a", "ü"]),
    (np.array([1, None, {"a": np.int8(2)}], dtype=object), [1, None, {"a": 2}]),
    (np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"), ["2024-01-01", None]),
    (np.array(["2024-01-01T00:00:01"], dtype="datetime64[ns]"), ["2024-01-01T00:00:01"]),
    (np.array([1500, "NaT"], dtype="timedelta64[ms]"), [1.5, None]),
    (RECORDS, [[1, "a"]]),
    (np.ma.masked_array([1, 2], mask=[False, True]), [1, None]),
    ([np.float32(0.1), np.float64(0.1), np.float16(0.5), np.int64(5), np.bool_(True)], [0.1, 0.1, 0.5, 5, True]),
    (
        [np.float64("nan"), np.datetime64("2024-01-01"), np.datetime64("NaT"), np.timedelta64(2, "s")],
        [None, "2024-01-01", None, 2.0],
    ),
    ({"deep": ({"array": np.array([[1.0]])},)}, {"deep": [{"array": [[1.0]]}]}),
]


@pytest.mark.parametrize("value, expected", PLAIN, ids=lambda value: type(value).__name__)
def test_python_values_become_the_json_one_expects(value: Any, expected: Any):
    assert json.loads(encode(value)) == expected


def test_iterators_become_lists_at_any_depth():
    assert json.loads(encode(n * n for n in range(3))) == [0, 1, 4]
    assert json.loads(encode(map(str, [1, 2]))) == ["1", "2"]
    assert json.loads(encode([1, iter([1]), {"rows": (row for row in [(1, 2)])}])) == [1, [1], {"rows": [[1, 2]]}]


@pytest.mark.parametrize("value, expected", NUMPY, ids=lambda value: type(value).__name__)
def test_numpy_values_become_nested_lists_and_numbers(value: Any, expected: Any):
    assert json.loads(encode(value)) == expected


def test_pandas_values_become_what_to_dict_gives():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, None], "when": [pandas.Timestamp("2024-01-01"), pandas.NaT]})
    assert json.loads(encode(frame)) == {"a": {"0": 1.0, "1": None}, "when": {"0": "2024-01-01T00:00:00", "1": None}}
    assert json.loads(encode([frame["a"], pandas.NA, pandas.Timedelta("1s")])) == [{"0": 1.0, "1": None}, None, 1.0]
    assert json.loads(encode(pandas.Index([1, 2]))) == [1, 2]
    with pytest.raises(Unencodable, match="occur twice"):
        encode(pandas.Series([1, 2], index=["a", "a"]))


def test_a_decimal_and_an_integer_of_any_size_stay_exact():
    huge = 10**5000 + 7
    assert encode([huge]) == b"[1" + b"0" * 4999 + b"7]"
    assert encode(Decimal(2**70)) == str(2**70).encode()


class Hostile:
    def __init__(self, error: BaseException):
        self.error = error

    def tolist(self) -> Any:
        raise self.error


class Endless:
    def model_dump(self) -> Any:
        return Endless()


def cycle() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def nested(levels: int, value: Any = 1) -> Any:
    for _ in range(levels):
        value = [value]
    return value


TROUBLE = [
    (1j, "result: complex cannot become JSON"),
    ({"predictions": [1, 2, 3, {"mask": 1j}]}, "predictions[3].mask: complex cannot become JSON"),
    ([{"odd key": object()}], "result[0]['odd key']: object cannot become JSON"),
    ({"a": np.array([1j])}, "a: complex128 cannot become JSON"),
    ({"a": [lambda: 1]}, "a[0]: function cannot become JSON"),
    ({"a": int}, "a: type cannot become JSON"),
    ({"a": ["\ud800"]}, "a[0]: str with a lone surrogate cannot become JSON"),
    ({"\ud800": 1}, r"result['\ud800']: str with a lone surrogate cannot become JSON"),
    ({(1, 2): 3}, "result: a key of type tuple cannot become text"),
    ({"x": {1: "a", "1": "b"}}, "x: two keys of dict become the same text '1'"),
    (cycle(), "result[1].again: list contains itself"),
    ({"a": Hostile(ValueError("x"))}, "Hostile raised ValueError while it was encoded"),
    ({"a": Hostile(SystemExit(1))}, "Hostile raised SystemExit while it was encoded"),
    (Endless(), "Endless cannot become JSON"),
    (Decimal("1E+5000"), "Decimal of more than 1000 digits"),
]


@pytest.mark.parametrize("value, text", TROUBLE, ids=lambda value: type(value).__name__)
def test_what_cannot_become_json_is_named_with_its_path_and_type(value: Any, text: str):
    with pytest.raises(Unencodable) as caught:
        encode(value)
    assert text in str(caught.value)


def test_a_generator_that_fails_is_named_with_the_item_it_reached():
    with pytest.raises(Unencodable, match=r"made\[1\]: generator raised ZeroDivisionError"):
        encode({"made": (1 / n for n in (1, 0))})


def test_a_hundred_levels_are_deep_enough():
    assert encode(nested(100)) == b"[" * 100 + b"1" + b"]" * 100


TOO_DEEP = {
    "by one": lambda: nested(101),
    "by far": lambda: nested(5000),
    "behind brackets in strings": lambda: [["]"] * 200, nested(100)],
    "behind an escaped quote": lambda: {'["': nested(100)},
    "in a stream": lambda: (nested(100) for _ in "a"),
    "by an array": lambda: nested(91, np.zeros((1,) * 10)),
}


@pytest.mark.parametrize("make", TOO_DEEP.values(), ids=TOO_DEEP)
def test_deeper_than_a_hundred_levels_is_refused(make: Any):
    with pytest.raises(Unencodable, match="nested more than 100 levels"):
        encode(make())


def test_brackets_in_strings_are_not_taken_for_depth():
    value = [["[{" * 300, '"[\\', "\\"], {"[" * 200: nested(98)}]
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize(
    "make", [lambda: ["x" * 600] * 2, lambda: itertools.count(), lambda: range(10**15), lambda: "ü" * 600]
)
def test_what_is_larger_than_the_limit_is_refused(make: Any):
    with pytest.raises(Unencodable, match="larger than 1000 bytes"):
        encode(make(), limit_bytes=1000)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


class Broken(Exception):
    __traceback__ = property(lambda self: 1 / 0)  # type: ignore[assignment]


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_exception_is_told_with_its_type_text_and_frames():
    told = describe_exception(raised(ValueError("no such digit")))
    assert (told["kind"], told["message"]) == ("ValueError", "no such digit")
    assert "in raised\n" in told["traceback"]
    assert told["traceback"].endswith("ValueError: no such digit\n")


@pytest.mark.parametrize(
    "error",
    [Unprintable(), Broken("x"), ValueError("\ud800"), KeyError("x" * 10**6), SystemExit(3)],
    ids=lambda e: type(e).__name__,
)
def test_no_exception_is_too_odd_to_be_told(error: BaseException):
    told = describe_exception(error if isinstance(error, Broken) else raised(error))
    assert told["kind"] == type(error).__name__
    assert 0 < len(told["message"]) <= 2000
    assert len(json.dumps(told, ensure_ascii=False).encode()) < 25_000


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are newer")
def test_a_group_of_exceptions_is_told_with_its_members():
    told = describe_exception(ExceptionGroup("several", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])]))
    assert told["message"].startswith("several")
    assert "ValueError: one" in told["traceback"]
    assert "KeyError: 'two'" in told["traceback"]


def test_the_worker_s_own_frames_are_left_out():
    def call_like_the_worker() -> None:
        code = compile("function()", encoding.__file__.replace("encoding", "calling"), "exec")
        exec(code, {"function": raise_it})

    with pytest.raises(RuntimeError) as caught:
        call_like_the_worker()
    while "calling" not in caught.value.__traceback__.tb_frame.f_code.co_filename:  # type: ignore[union-attr]
        caught.value.__traceback__ = caught.value.__traceback__.tb_next  # type: ignore[union-attr]
    told = describe_exception(caught.value)["traceback"]
    assert "calling.py" not in told
    assert "in raise_it" in told


def raise_it() -> None:
    raise RuntimeError("x")
