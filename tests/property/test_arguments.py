"""Whatever is sent for whatever is declared: either it can be encoded, or the caller is told, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from deepaas_core.domain.arguments import Arguments, Kind
from deepaas_core.errors import InvalidInput

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
described = st.fixed_dictionaries(
    {"name": st.just("x"), "kind": st.sampled_from([str(kind) for kind in Kind])},
    optional={
        "nullable": st.booleans(),
        "text": st.booleans(),
        "opaque": st.booleans(),
        "items": st.fixed_dictionaries({"name": st.just(""), "kind": st.sampled_from([str(kind) for kind in Kind])}),
        "choices": st.lists(json_values, max_size=3),
        "minimum": st.integers(-100, 100),
        "max_length": st.integers(0, 5),
        "default": json_values,
        "required": st.booleans(),
    },
)


@given(described, json_values)
def test_a_value_is_refused_or_can_be_encoded(argument: dict[str, Any], sent: Any) -> None:
    arguments = Arguments.from_plain([argument])
    try:
        loaded = arguments.load({"x": sent})
    except InvalidInput as error:
        told = [(issue.pointer, issue.detail) for issue in error.issues]
    else:
        orjson.dumps(loaded)
        return
    orjson.dumps(told)
    assert told
    assert all(detail and pointer.startswith("/x") for pointer, detail in told)


@given(st.sampled_from(["integer", "number", "boolean", "array", "object"]), json_values)
def test_loading_what_was_loaded_changes_nothing(kind: str, sent: Any) -> None:
    arguments = Arguments.from_plain([{"name": "x", "kind": kind}])
    try:
        loaded = arguments.load({"x": sent})
    except InvalidInput:
        return
    assert arguments.load(loaded) == loaded


@given(st.integers(-(2**63), 2**64 - 1))
def test_an_integer_means_the_same_as_its_text(number: int) -> None:
    arguments = Arguments.from_plain([{"name": "x", "kind": "integer"}])
    assert arguments.load({"x": str(number)}) == arguments.load({"x": number}) == {"x": number}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_means_the_same_as_its_text(number: float) -> None:
    arguments = Arguments.from_plain([{"name": "x", "kind": "number"}])
    assert arguments.load({"x": json.dumps(number)}) == arguments.load({"x": number}) == {"x": number}


@given(st.dictionaries(st.text(min_size=1), st.integers(-10, 10), min_size=1, max_size=5))
def test_any_names_keep_their_values(values: dict[str, int]) -> None:
    arguments = Arguments.from_plain([{"name": name, "kind": "integer"} for name in values])
    assert arguments.load(values) == values
