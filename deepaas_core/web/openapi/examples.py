"""Examples, so that "Try it out" starts from something that works."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from deepaas_core.web.openapi.parts import Json, strict

_MAX_EXAMPLE = 4096  # values in an example made from a shape


def example_of(schema: Json) -> Any:
    """Some value of the schema."""
    for key in ("example", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    kind, form = schema.get("type"), schema.get("format", "")
    if kind in ("integer", "number"):
        return _example_number(schema)
    if kind == "string":
        return _EXAMPLES.get(form, "text").ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    if kind == "array":
        return [example_of(schema["items"])] * max(1, min(schema.get("minItems", 1), 100))
    if kind == "object":
        members = schema.get("properties", {})
        return {key: example_of(members[key]) for key in schema.get("required", ()) if key in members}
    return True if kind == "boolean" else "text"


_EXAMPLES = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.org/",
    "email": "someone@example.org",
}


def _example_number(schema: Json) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and schema["type"] == "number":
        return float((low + high) / 2)
    if low is not None:
        return math.ceil(low) + 1 if schema.get("exclusiveMinimum") else low  # type: ignore[no-any-return]
    if high is not None:
        return math.floor(high) - 1 if schema.get("exclusiveMaximum") else high  # type: ignore[no-any-return]
    return 1


def example_data(signature: Mapping[str, Any] | None) -> Any:
    """Data for a model: its own example, or zeros in the shape of its inputs."""
    if signature is None:
        return "text"
    if "example" in signature:
        return strict(signature["example"])
    inputs = signature.get("inputs")
    if isinstance(inputs, Mapping):
        inputs = [{"name": name, **one} for name, one in inputs.items() if isinstance(one, Mapping)]
    if not isinstance(inputs, Sequence) or isinstance(inputs, str):
        return "text"
    tensors = [one for one in inputs if isinstance(one, Mapping)]
    if len(tensors) == 1:
        return _filled(tensors[0])
    return {str(one.get("name", index)): _filled(one) for index, one in enumerate(tensors)} or "text"


def _filled(tensor: Mapping[str, Any]) -> Any:
    datatype = str(tensor.get("datatype", "")).upper()
    value: Any = {"BYTES": "text", "BOOL": False}.get(datatype, 0.0 if datatype.startswith("FP") else 0)
    shape = tensor.get("shape")
    if not isinstance(shape, list | tuple) or not all(isinstance(size, int | None) for size in shape):
        return value
    sizes = [size if isinstance(size, int) and size > 0 else 1 for size in shape]
    if math.prod(sizes) > _MAX_EXAMPLE or len(sizes) > 8:
        return value
    for size in reversed(sizes):
        value = [value] * size
    return value


def as_text(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example, default=str)[: _MAX_EXAMPLE * 4]


def as_csv(example: Any) -> str:
    """The example as rows of cells, if it has rows."""
    while isinstance(example, list) and len(example) == 1 and _has_rows(example[0]):
        example = example[0]  # a batch of one
    rows = example if _has_rows(example) else [[0, 0], [1, 1]]
    return "\n".join(",".join(map(str, row)) for row in rows)


def _has_rows(example: Any) -> bool:
    return isinstance(example, list) and all(
        isinstance(row, list) and not any(isinstance(cell, list | dict) for cell in row) for row in example
    )
