"""Arguments spelled as marshmallow or webargs fields.

Fields are known by the names of their classes, and values go through the author's own field objects, so that any
version of marshmallow will do and this module imports none.
"""

import sys
from collections.abc import Mapping
from typing import Any, Optional

from . import compat
from .declared import NOTHING, Declared, Plain, plain_values, pointer_to, with_uploads

MAX_DEPTH = 5
KINDS = {
    "String": "string",
    "Integer": "integer",
    "Float": "number",
    "Number": "number",
    "Decimal": "decimal",
    "Boolean": "boolean",
    "UUID": "uuid",
    "DateTime": "datetime",
    "NaiveDateTime": "datetime",
    "AwareDateTime": "datetime",
    "LocalDateTime": "datetime",
    "Date": "date",
    "Time": "time",
    "TimeDelta": "duration",
    "Url": "url",
    "Email": "email",
    "IP": "string",
    "IPInterface": "string",
    "List": "array",
    "DelimitedList": "array",
    "Tuple": "array",
    "DelimitedTuple": "array",
    "Dict": "object",
    "Mapping": "object",
    "Nested": "object",
    "Pluck": "any",
    "Enum": "string",
    "Constant": "any",
    "Raw": "any",
    "Field": "any",
}
#: Their values are not what their kind says, or only they know what is valid.
OPAQUE = ("Field", "Raw", "Constant", "Pluck", "DelimitedList", "DelimitedTuple")
LOCATIONS = {
    "query": "query",
    "querystring": "query",
    "args": "query",
    "form": "form",
    "files": "form",
    "json": "json",
    "json_or_form": "form",
    "header": "header",
    "headers": "header",
    "cookie": "cookie",
    "cookies": "cookie",
}


def is_field(value: Any) -> bool:
    return not isinstance(value, type) and _is_named(type(value), "Field")


def is_field_class(value: Any) -> bool:
    return isinstance(value, type) and _is_named(value, "Field")


def is_schema(value: Any) -> bool:
    """Whether it is a marshmallow schema, or a class of them."""
    return _is_named(value if isinstance(value, type) else type(value), "Schema") and hasattr(value, "load")


def fields_of(declaration: Any) -> Mapping[str, Any]:
    """The fields of a schema, its class, or a mapping, by name."""
    if not is_schema(declaration):
        return dict(declaration)
    schema = declaration() if isinstance(declaration, type) else declaration
    return dict(getattr(schema, "load_fields", None) or schema.fields)


def bound(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields as a schema of their own makes them: some need one to work."""
    marshmallow = sys.modules.get("marshmallow")
    loose = {name: field for name, field in fields.items() if getattr(field, "parent", None) is None}
    if marshmallow is None or not loose:
        return fields
    try:
        made = marshmallow.Schema.from_dict(loose)().fields
    except Exception:  # older than from_dict, or names that a class cannot have: most fields work by themselves
        return fields
    return {name: made.get(name, field) for name, field in fields.items()}


def declare(name: str, field: Any) -> Optional[Declared]:
    """One argument; None for a field that is only for output."""
    if getattr(field, "dump_only", False):
        return None
    plain = describe(str(getattr(field, "attribute", None) or name), field)
    key = getattr(field, "data_key", None) or name
    if key != plain["name"]:
        plain["key"] = str(key)
    return Declared(plain, _converter(field), _default(field), field)


def describe(name: str, field: Any, depth: int = 0) -> Plain:
    """A field as plain data, without its default."""
    base, customised = _base(type(field))
    metadata = _metadata(field)
    plain: Plain = {"name": name, "kind": KINDS[base], "by_field": True}
    _describe_metadata(plain, metadata)
    if getattr(field, "required", False):
        plain["required"] = True
    if getattr(field, "allow_none", False):
        plain["nullable"] = True
    if base in ("Field", "Raw") and _means_file(metadata):
        plain["kind"] = "file"
        return plain
    if customised or base in OPAQUE or _reads_in_its_own_way(field, base):
        plain["opaque"] = True
    _describe_parts(plain, field, base, depth)
    validators = list(getattr(field, "validators", None) or ())
    _describe_validators(plain, validators)
    if _knows_more(field, base) or not all(map(_is_told, validators)):
        plain["own_rules"] = True
    return plain


def describe_response(schema: Any) -> list[Plain]:
    """The members of a response schema."""
    members = []
    fields = schema.fields if is_schema(schema) and not isinstance(schema, type) else fields_of(schema)
    for name, field in fields.items():
        plain = describe(str(getattr(field, "data_key", None) or name), field)
        members.append(plain)
    return members


def make_schema(schema: Any) -> Any:
    """An instance of a response schema, however it was given."""
    if isinstance(schema, Mapping):
        return sys.modules["marshmallow"].Schema.from_dict(dict(schema), name="ModelPredictionResponse")()
    return schema() if isinstance(schema, type) else schema


def is_refusal(error: BaseException) -> bool:
    """Whether it is a ValidationError of whichever marshmallow the model has."""
    return _is_named(type(error), "ValidationError") and hasattr(error, "messages")


def flatten(messages: Any, pointer: str) -> list[tuple[str, str]]:
    """Marshmallow's messages (a text, a list of them, or a mapping of those) as JSON pointers and texts."""
    if isinstance(messages, Mapping):
        found = []
        for key, inner in messages.items():
            found += flatten(inner, pointer if key == "_schema" else pointer + pointer_to(key))
        return found
    if isinstance(messages, (list, tuple)):
        return [issue for inner in messages for issue in flatten(inner, pointer)]
    return [(pointer, str(messages)[:2000])]


def _is_named(cls: type, name: str) -> bool:
    return any(base.__name__ == name for base in cls.__mro__)


def _base(cls: type) -> tuple[str, bool]:
    """The name of the library's field that a class is or derives from, and whether it changes how values are read."""
    customised = False
    for base in cls.__mro__:
        if base.__name__ in KINDS and base.__module__.split(".")[0] in ("marshmallow", "webargs"):
            return base.__name__, customised
        customised = customised or bool({"_deserialize", "deserialize", "_validated"} & vars(base).keys())
    return "Field", True


def _metadata(field: Any) -> Mapping[str, Any]:
    metadata = getattr(field, "metadata", None) or {}
    inner = metadata.get("metadata")  # what a marshmallow too old to know the keyword makes of it
    return {**metadata, **inner} if isinstance(inner, Mapping) else metadata


def _describe_metadata(plain: Plain, metadata: Mapping[str, Any]) -> None:
    text = metadata.get("description") or metadata.get("help") or metadata.get("doc")
    known = plain_values(metadata.get("enum") or ())  # documentation only: DEEPaaS never held a caller to it
    if known:
        text = f"{text or ''} Known values: {', '.join(map(str, known))}.".strip()
    if text:
        plain["help"] = str(text)
    location = LOCATIONS.get(str(metadata.get("location")))
    if location is not None:
        plain["location"] = location
    if metadata.get("secret") or metadata.get("format") == "password":
        plain["secret"] = True


def _means_file(metadata: Mapping[str, Any]) -> bool:
    return metadata.get("type") == "file" or metadata.get("format") == "binary" or metadata.get("location") == "files"


def _reads_in_its_own_way(field: Any, base: str) -> bool:
    """Whether the author set the field up to read values in a way that only it knows."""
    if base == "Boolean":
        return bool({"truthy", "falsy"} & vars(field).keys())
    if base.startswith("IP") or getattr(field, "strict", False) or getattr(field, "allow_nan", False):
        return True
    if KINDS[base] in ("datetime", "date", "time"):
        return getattr(field, "format", None) not in (None, "iso", "iso8601")
    return bool(getattr(field, "pre_load", None))


def _knows_more(field: Any, base: str) -> bool:
    """Whether a field has words of its own, or parts that the description does not have."""
    if base == "Nested" or any(getattr(field, part, None) for part in ("key_field", "value_field")):
        return True
    usual: dict[str, Any] = {}
    for cls in reversed(type(field).__mro__):
        usual.update(getattr(cls, "default_error_messages", None) or {})
    return bool(getattr(field, "error_messages", usual) != usual)


def _is_told(validator: Any) -> bool:
    """Whether all that a validator demands is in the description, and its complaint is the usual one."""
    name = type(validator).__name__
    if name == "And":
        return all(map(_is_told, validator.validators))
    usual = (None, getattr(type(validator), "default_message", None))
    return name in _TOLD and getattr(validator, "error", None) in usual


def _describe_parts(plain: Plain, field: Any, base: str, depth: int) -> None:
    if base in ("List", "DelimitedList"):
        inner = getattr(field, "inner", None) or getattr(field, "container", None)
        plain["items"] = describe("", inner, depth + 1) if inner is not None and depth < MAX_DEPTH else _anything()
    elif base in ("Tuple", "DelimitedTuple"):
        plain["items"] = _anything()
        plain["min_length"] = plain["max_length"] = len(field.tuple_fields)
    elif base == "Nested":
        _describe_nested(plain, field, depth)
    elif base == "Enum":
        _describe_enum(plain, field)
    elif base == "Url" and getattr(field, "relative", False):
        plain["kind"] = "string"


def _anything() -> Plain:
    return {"name": "", "kind": "any", "opaque": True, "nullable": True}


def _describe_nested(plain: Plain, field: Any, depth: int) -> None:
    members = _members(field, depth)
    if getattr(field, "many", False):
        plain["kind"] = "array"
        plain["items"] = {"name": "", "kind": "object", **({"properties": members} if members else {})}
    elif members:
        plain["properties"] = members


def _members(field: Any, depth: int) -> list[Plain]:
    """The members of a nested schema; none if the schema also takes others, or changes them before it looks."""
    if depth >= MAX_DEPTH:
        return []
    try:
        schema = field.schema
        unknown = getattr(field, "unknown", None) or getattr(schema, "unknown", "raise")
        hooks = getattr(schema, "_hooks", None) or {}
        if unknown != "raise" or any("pre_load" in str(tag) for tag, methods in hooks.items() if methods):
            return []
        members = []
        for name, inner in fields_of(schema).items():
            member = describe(str(getattr(inner, "data_key", None) or name), inner, depth + 1)
            default = Declared(member, default=_default(inner))
            members.append(default.plain)
        return members
    except Exception:  # a schema that cannot be resolved yet: the field itself will say so when it is used
        return []


def _describe_enum(plain: Plain, field: Any) -> None:
    by_value = getattr(field, "by_value", False)
    choices = plain_values([one.value if by_value else one.name for one in field.enum])
    kinds = {type(choice) for choice in choices}
    plain["kind"] = {str: "string", int: "integer"}.get(kinds.pop(), "any") if len(kinds) == 1 else "any"
    plain["choices"] = choices
    if by_value and plain["kind"] != "string":
        plain["opaque"] = True


def _describe_validators(plain: Plain, validators: list[Any]) -> None:
    for validator in validators:
        name = next((base.__name__ for base in type(validator).__mro__ if base.__name__ in _VALIDATORS), None)
        if name is not None:
            _VALIDATORS[name](plain, validator)


def _range(plain: Plain, validator: Any) -> None:
    for end in ("min", "max"):
        limit = getattr(validator, end, None)
        if isinstance(limit, (int, float)) and not isinstance(limit, bool):
            plain[f"{end}imum"] = limit
            if getattr(validator, f"{end}_inclusive", True) is False:
                plain[f"exclusive_{end}imum"] = True


def _length(plain: Plain, validator: Any) -> None:
    if plain["kind"] == "object":
        return
    equal = getattr(validator, "equal", None)
    for end in ("min", "max"):
        limit = equal if equal is not None else getattr(validator, end, None)
        if isinstance(limit, int):
            plain[f"{end}_length"] = limit


def _one_of(plain: Plain, validator: Any) -> None:
    plain["choices"] = plain_values(validator.choices)


def _equal(plain: Plain, validator: Any) -> None:
    plain["choices"] = plain_values([validator.comparable])


def _contains_only(plain: Plain, validator: Any) -> None:
    if "items" in plain:
        plain["items"]["choices"] = plain_values(validator.choices)


def _regexp(plain: Plain, validator: Any) -> None:
    pattern = getattr(getattr(validator, "regex", None), "pattern", None)
    if isinstance(pattern, str):
        plain["pattern"] = pattern


def _and(plain: Plain, validator: Any) -> None:
    _describe_validators(plain, list(validator.validators))


_VALIDATORS = {
    "Range": _range,
    "Length": _length,
    "ContainsOnly": _contains_only,
    "NoneOf": lambda plain, validator: None,
    "OneOf": _one_of,
    "Equal": _equal,
    "Regexp": _regexp,
    "And": _and,
}


#: Those of which the description has all.
_TOLD = ("Range", "Length", "OneOf", "Regexp", "URL", "Email")


def _default(field: Any) -> Any:
    default = getattr(field, "load_default", NOTHING)
    if default is NOTHING:  # a marshmallow that knows only the older name
        default = getattr(field, "missing", NOTHING)
    return NOTHING if type(default).__name__ == "_Missing" else default


def _converter(field: Any) -> Any:
    delimited = _base(type(field))[0].startswith("Delimited")

    def convert(sent: Any) -> Any:
        value = with_uploads(sent, compat.uploaded_file()) if _may_hold_uploads(sent) else sent
        if delimited and isinstance(value, list):
            return _plain_list(field, value)
        return field.deserialize(value, field.name or "", {})

    return convert


def _plain_list(field: Any, value: Any) -> Any:
    """What a field for delimited text makes of a list, which newer ones refuse."""
    of_marshmallow: Any = next(cls for cls in type(field).__mro__ if cls.__name__ in ("List", "Tuple"))
    items = of_marshmallow._deserialize(field, value, field.name or "", {})
    field._validate(items)
    return items


def _may_hold_uploads(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))
