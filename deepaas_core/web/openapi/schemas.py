"""An argument as an OpenAPI schema."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin

from deepaas_core.domain.arguments import Argument, Arguments, Kind
from deepaas_core.web.openapi.defaults import fits, same
from deepaas_core.web.openapi.parts import Json, code, strict, text

_TYPES: dict[Kind, Json] = {
    Kind.STRING: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.ARRAY: {"type": "array"},
    Kind.OBJECT: {"type": "object"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.DATETIME: {"type": "string", "format": "date-time"},
    Kind.TIME: {"type": "string", "format": "time"},
    Kind.DURATION: {"type": "number", "x-unit": "seconds"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.DECIMAL: {"type": "number"},
    Kind.URL: {"type": "string", "format": "uri"},
    Kind.EMAIL: {"type": "string", "format": "email"},
    Kind.FILE: {"type": "string", "format": "binary"},
    Kind.ANY: {},
}

FILE = _TYPES[Kind.FILE]


def convert(arguments: Arguments, plugin: MarshmallowPlugin) -> dict[str, Json]:
    """Each argument's schema, by the key a request uses."""
    if not arguments:
        return {}
    converted: Json = plugin.converter.schema2jsonschema(arguments.schema())["properties"]  # type: ignore[union-attr]
    return {key: _refined(converted.get(key, {}), argument) for key, argument in arguments.items()}


#: What is said from the argument itself: a field says it in marshmallow's way, or not at all.
_OURS = re.compile(
    r"type|format|default|enum|nullable|description|pattern|items|properties|required|additionalProperties|allOf|anyOf"
    r"|(x-)?(min|max)imum|exclusive(Min|Max)imum|(min|max)(Length|Items)"
)


def _refined(converted: Json, argument: Argument) -> Json:
    schema = {key: value for key, value in converted.items() if not _OURS.fullmatch(key)}
    schema.update(_TYPES[argument.kind])
    notes = [text(argument.help)]
    if argument.nullable and "type" in schema:
        schema["nullable"] = True
    if argument.choices:
        nothing = [None] if argument.nullable else []
        schema["enum"] = _unique([*strict(argument.choices), *nothing])
    schema.update(_bounds(argument, schema.get("type")))
    if argument.pattern is not None and schema.get("type") == "string":
        if _browsers_understand(argument.pattern):
            schema["pattern"] = f"^(?:{argument.pattern})"
        else:
            notes.append(f"Must match {code(argument.pattern)} (Python).")
    if argument.kind is Kind.ARRAY:
        schema["items"] = _refined(converted.get("items", {}), argument.items) if argument.items else {}
    if argument.kind is Kind.OBJECT:
        schema.update(_members(argument))
    if argument.secret:
        schema.update({"format": "password"} if schema.get("type") == "string" else {})
    elif argument.has_default:
        default = strict(_as_declared(argument))
        if fits(default, schema):
            schema["default"] = default
        else:
            notes.append(f"Default: {code(default)}.")
    description = "\n\n".join(note for note in notes if note)
    return {**schema, "description": description} if description else schema


def _members(argument: Argument) -> Json:
    if not argument.properties:
        return {"additionalProperties": {}}
    members = {member.key: _refined({}, member) for member in argument.properties}
    required = [member.key for member in argument.properties if member.required]
    return {"properties": members, **({"required": required} if required else {})}


def _as_declared(argument: Argument) -> Any:
    """The default; on its way here a decimal's is text, and so is every default of a hook that wants text."""
    spelled = argument.kind is Kind.DECIMAL or (argument.text and _TYPES[argument.kind].get("type") != "string")
    if spelled and isinstance(argument.default, str):
        try:
            return json.loads(argument.default)
        except ValueError:
            return argument.default
    return argument.default


def _bounds(argument: Argument, kind: str | None) -> Json:
    bounds: Json = {}
    if kind in ("integer", "number"):
        for name, limit in (("minimum", argument.minimum), ("maximum", argument.maximum)):
            if limit is not None and math.isfinite(limit):
                bounds[name] = int(limit) if float(limit).is_integer() else limit
                if getattr(argument, f"exclusive_{name}"):
                    bounds[f"exclusive{name.title()}"] = True
    if kind in ("string", "array"):
        unit = "Length" if kind == "string" else "Items"
        for name, length in (("min", argument.min_length), ("max", argument.max_length)):
            if length is not None and length >= 0:
                bounds[f"{name}{unit}"] = length
    return bounds


def _browsers_understand(pattern: str) -> bool:
    """Whether a Python pattern also compiles, and means the same, as one of JavaScript."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return not re.search(r"\(\?(?![:=!])|\\[AZNU]|[*+?}]\+", pattern)


def _unique(values: Sequence[Any]) -> list[Any]:
    unique: list[Any] = []
    for value in values:
        if not any(same(value, known) for known in unique):
            unique.append(value)
    return unique
