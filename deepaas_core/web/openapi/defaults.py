"""Whether a default is a value of its own schema, so that the document may state it.

Authors write defaults that their own argument would refuse, and get away with it, for a default is applied unchecked.
"""

from __future__ import annotations

import math
import re
from typing import Any

from deepaas_core.web.openapi.parts import Json

_FORMATS = {
    "date": r"\d{4}-\d\d-\d\d",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "time": r"\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "email": r"[^@\s]+@[^@\s]+",
    "binary": r"(?!)",  # never: a file has no default
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def fits(value: Any, schema: Json) -> bool:
    """Whether the schema allows the value."""
    if "enum" in schema and not any(same(value, choice) for choice in schema["enum"]):
        return False
    kind = schema.get("type")
    if value is None or kind is None:
        return kind is None or bool(schema.get("nullable"))
    if type(value) not in _TYPES[kind]:
        return False
    match kind:
        case "string":
            return _string_fits(value, schema)
        case "integer" | "number":
            return _number_fits(value, schema)
        case "array":
            return _within(len(value), schema, "Items") and all(fits(item, schema["items"]) for item in value)
        case "object":
            members = schema.get("properties", {})
            complete = all(key in value for key in schema.get("required", ()))
            return complete and all(fits(member, members.get(key, {})) for key, member in value.items())
        case _:
            return True


def same(value: Any, choice: Any) -> bool:
    """Whether both are one JSON value: 1 is 1.0, and is not true."""
    return bool(value == choice) and isinstance(value, bool) is isinstance(choice, bool)


def _string_fits(value: str, schema: Json) -> bool:
    form = _FORMATS.get(schema.get("format", ""), r"[\s\S]*")
    matches = "pattern" not in schema or re.search(schema["pattern"], value)
    return _within(len(value), schema, "Length") and bool(matches) and re.fullmatch(form, value) is not None


def _number_fits(value: float, schema: Json) -> bool:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above = value > low if schema.get("exclusiveMinimum") else value >= low
    below = value < high if schema.get("exclusiveMaximum") else value <= high
    return math.isfinite(value) and above and below


def _within(length: int, schema: Json, unit: str) -> bool:
    return bool(schema.get(f"min{unit}", 0) <= length <= schema.get(f"max{unit}", math.inf))
