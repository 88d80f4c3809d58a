"""What the schema of a ``service.toml`` finds wrong, said in sentences for whoever wrote the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deepaas_core.errors import did_you_mean
from deepaas_core.publishing.grammar import SCHEMA

if TYPE_CHECKING:
    import jsonschema

Place = tuple[str | int, ...]
#: Where, and a sentence.
Complaint = tuple[Place, str]

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}


def complaints_of(table: Mapping[str, Any]) -> Iterator[Complaint]:
    """All that the schema has to say about a file's tables."""
    import jsonschema  # 50 ms that no start should wait for

    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(table):
        yield from _of(error)


def _of(error: jsonschema.ValidationError) -> Iterator[Complaint]:
    """What one error of the schema means, in sentences."""
    place: Place = tuple(error.absolute_path)
    schema: Any = error.schema
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = schema["properties"]
        for name in error.instance:
            if name not in known:
                yield (*place, name), f"There is no such member.{_hint(name, known, place)}"
    elif error.validator == "required":
        assert isinstance(error.instance, dict)
        yield place, f"`{_missing(error)}` is missing."
    elif error.validator == "propertyNames":
        yield place, str(error.message)
    elif error.validator == "anyOf" and isinstance(error.instance, dict):
        for inner in error.context or ():
            if inner.schema_path[0] == 1:
                yield from _of(inner)
    else:
        yield _key_of(error, place), f"Must be {_expected(error)}.{_close(error)}"


def _missing(error: jsonschema.ValidationError) -> str:
    return re.sub(r"^'(.*)' is a required property$", r"\1", error.message)


def _key_of(error: jsonschema.ValidationError, place: Place) -> Place:
    """The place of a value; of a key that is no good name, the place of what it names."""
    return (*place, str(error.instance)) if "propertyNames" in error.absolute_schema_path else place


def _hint(name: str, known: Mapping[str, Any], place: Place) -> str:
    close = did_you_mean(name, known)
    if not close and len(place) == 4 and place[2] in ("inputs", "outputs"):
        return f' A name with a dot is put into quotes: "{place[3]}.{name}".'
    return close or f" There are: {', '.join(known)}."


def _expected(error: jsonschema.ValidationError) -> str:
    schema: Any = error.schema
    if "x-expected" in schema:
        return str(schema["x-expected"])
    least, most = schema.get("minimum"), schema.get("maximum")
    match error.validator:
        case "type" | "minimum" | "maximum" if isinstance(schema["type"], str):
            said = _TYPES[schema["type"]]
            if least is not None and most is not None:
                return f"{said} from {least:g} to {most:g}"
            return said if least is None else f"{said} of at least {least:g}"
        case "enum":
            return "one of " + ", ".join(map(str, schema["enum"]))
        case "minItems" | "minProperties" | "minLength":
            return "more than nothing"
        case "maxProperties":
            return "only one of " + " and ".join(schema["properties"])
        case "uniqueItems":
            return "a list without anything twice"
        case _:
            raise AssertionError(f"no words for {error.validator}")


def _close(error: jsonschema.ValidationError) -> str:
    if not isinstance(error.instance, str):
        return ""
    schema: Any = error.schema
    options: Sequence[Any] = schema.get("enum", ()) if error.validator == "enum" else ()
    for inner in error.context or ():
        options = [*options, *(inner.schema.get("enum", ()) if isinstance(inner.schema, dict) else ())]
    return did_you_mean(error.instance, map(str, options))
