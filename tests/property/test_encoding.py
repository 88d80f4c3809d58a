"""The fast way and the careful way of encoding a result give the same answer, and what is JSON stays as it is."""

from __future__ import annotations

import datetime as dt
import enum
import json
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepaas_core.executors.worker import encoding
from deepaas_core.executors.worker.encoding import Unencodable, encode


class Pair(NamedTuple):
    first: Any
    second: Any


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


KEYS = st.text() | st.integers() | st.booleans() | st.none() | st.floats() | st.dates() | st.uuids()
ODD_ZONES = st.integers(-80_000, 80_000).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
ZONES = st.none() | st.just(dt.UTC) | ODD_ZONES
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=ZONES)
    | st.times(timezones=ZONES)
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.sampled_from(Colour)
    | st.complex_numbers()
    | st.floats(width=32).map(np.float32)
    | st.floats(width=16).map(np.float16)
    | st.integers(-(2**63), 2**63 - 1).map(np.int64)
)
ARRAYS = st.builds(
    lambda values, dtype: np.array(values).astype(dtype),
    st.lists(st.integers(0, 100), max_size=5)
    | st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), max_size=3),
    st.sampled_from(
        ["f2", "f4", "f8", ">f4", ">i2", "u1", "i8", "?", "datetime64[D]", "datetime64[ns]", "m8[ms]", "U3"]
    ),
)
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.builds(Pair, inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(KEYS, inner)
        | st.frozensets(st.integers() | st.text())
    ),
    max_leaves=20,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def outcome(value: Any, orjson: Any) -> Any:
    """What becomes of a value where the environment has this orjson."""
    installed, encoding._orjson = encoding._orjson, orjson
    try:
        return json.loads(encode(value), parse_constant=lambda name: AssertionError(name))
    except Unencodable as error:
        return str(error)
    finally:
        encoding._orjson = installed


@given(VALUES)
def test_both_ways_agree(value: Any):
    assert outcome(value, encoding._orjson) == outcome(value, None)


@given(JSON)
def test_what_is_json_already_stays_as_it_is(value: Any):
    assert json.loads(encode(value)) == value
