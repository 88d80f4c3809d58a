"""Arguments spelled as a dict of dicts: ``{"lr": {"default": "0.1", "help": "…", "required": False}}``.

A hook that takes one dictionary gets strings, as it always did. A hook that takes keywords gets values: the type is the
one that the author names, or else the one of what the default says as JSON.
"""

import inspect
import io
import json
from collections.abc import Mapping
from typing import Any, Optional

from . import compat, from_hints
from .declared import NOTHING, Convert, Declared, NotPlain, Plain, plain_value, with_uploads
from .from_fields import LOCATIONS

TYPE_NAMES = {
    "str": "string", "string": "string", "text": "string", "path": "string", "password": "string",
    "int": "integer", "integer": "integer",
    "float": "number", "number": "number", "double": "number",
    "bool": "boolean", "boolean": "boolean", "flag": "boolean",
    "list": "array", "array": "array", "tuple": "array",
    "dict": "object", "object": "object",
    "date": "date", "datetime": "datetime", "date-time": "datetime", "time": "time", "timedelta": "duration",
    "duration": "duration", "uuid": "uuid", "decimal": "decimal", "url": "url", "uri": "url", "email": "email",
    "file": "file", "json": "any", "any": "any",
}  # fmt: skip
_PYTHON_WORDS = {"True": True, "False": False, "None": None}


def declare(name: str, spec: Any, text: bool) -> Declared:
    """One argument.

    Args:
        name: What it is called.
        spec: The author's dict; anything else is taken as the default.
        text: The hook wants strings, unless the author names a type.
    """
    if not isinstance(spec, Mapping):
        spec = {"default": spec}
    plain: Plain = {"name": name}
    _describe_common(plain, spec)
    convert, typed = _describe_type(plain, spec)
    if typed:
        default = _typed_default(plain, spec, convert)
    elif text:
        plain["kind"], plain["text"] = "string", True
        default = _text_default(plain, spec)
    else:
        default = _guess(plain, spec)
    choices = _as_list(spec.get("choices") or spec.get("enum"))
    if choices:
        plain["choices"] = [_as_text(one) if plain.get("text") else _decoded(plain, one) for one in choices]
    if spec.get("action") in ("append", "split"):
        plain, default = _repeated(plain, default)
    if plain["kind"] == "file" or (plain.get("items") or {}).get("kind") == "file":
        convert = _storage if text else _upload
        default = NOTHING
    return Declared(plain, convert, default)


def _describe_common(plain: Plain, spec: Mapping[str, Any]) -> None:
    explanation = spec.get("help") or spec.get("description")
    if explanation:
        plain["help"] = str(explanation)
    for member in ("required", "nullable", "secret"):
        if spec.get(member) in (True, "true", "True"):
            plain[member] = True
    location = LOCATIONS.get(str(spec.get("location")))
    if location is not None:
        plain["location"] = location
    for member in ("min_length", "max_length"):
        if isinstance(spec.get(member), int):
            plain[member] = spec[member]
    if isinstance(spec.get("pattern"), str):
        plain["pattern"] = spec["pattern"]
    _describe_range(plain, spec)


def _describe_range(plain: Plain, spec: Mapping[str, Any]) -> None:
    given = spec.get("range")
    if isinstance(given, Mapping):
        low, high = given.get("min", given.get("minimum")), given.get("max", given.get("maximum"))
    elif given is not None:
        low, high = [*_as_list(given), None, None][:2]
    else:
        low, high = spec.get("minimum", spec.get("min")), spec.get("maximum", spec.get("max"))
    for member, limit in (("minimum", low), ("maximum", high)):
        limit = _parsed(limit) if isinstance(limit, str) else limit
        if isinstance(limit, (int, float)) and not isinstance(limit, bool) and abs(limit) != float("inf"):
            plain[member] = limit


def _describe_type(plain: Plain, spec: Mapping[str, Any]) -> Any:
    """Set the kind that the author names; gives the conversion that goes with it, and whether there was a type."""
    given = spec.get("type")
    if given in ("file", "FileStorage") or getattr(given, "__name__", "") == "FileStorage":
        given = "file"
    if spec.get("location") == "files":
        given = "file"
    if given is None:
        return None, False
    if isinstance(given, str):
        plain["kind"] = TYPE_NAMES.get(given.strip().lower(), "any")
        if given == "password":
            plain["secret"] = True
        return from_hints.converter_of(plain["kind"]), True
    if inspect.isfunction(given) or inspect.isbuiltin(given) or inspect.ismethod(given):
        if given.__name__ in TYPE_NAMES and given.__name__ != "url":  # such as restplus' inputs.boolean
            plain["kind"] = TYPE_NAMES[given.__name__]
            return from_hints.converter_of(plain["kind"]), True
        plain["kind"], plain["opaque"] = "string", True
        return given, True
    found, convert = from_hints.describe(given)
    if found["kind"] == "any" and not found.get("nullable") and callable(given) and given is not object:
        found, convert = {"kind": "string", "opaque": True}, given
    plain.update({**found, **plain, "kind": found["kind"]})
    return convert, True


def _typed_default(plain: Plain, spec: Mapping[str, Any], convert: Optional[Convert]) -> Any:
    if "default" not in spec:
        return NOTHING
    default = spec["default"]
    if default is None:
        plain["nullable"] = True
        return None
    default = _decoded(plain, default)
    if default is None:
        plain["nullable"] = True
    if convert is None or plain.get("opaque") or not isinstance(default, (str, list, dict)):
        return default
    try:
        return convert(default)
    except Exception:  # the author's own default is given as it was written
        return default


def _text_default(plain: Plain, spec: Mapping[str, Any]) -> Any:
    if "default" not in spec:
        return NOTHING
    if spec["default"] is None:  # nothing, and not the word for it
        plain["nullable"] = True
        return None
    return _as_text(spec["default"])


def _guess(plain: Plain, spec: Mapping[str, Any]) -> Any:
    """Set the kind by what the default says; gives the default."""
    if "default" in spec:
        default = _parsed(spec["default"]) if isinstance(spec["default"], str) else spec["default"]
        plain["kind"] = kind_of(default)
        if default is None:
            plain["nullable"] = True
    else:
        default = NOTHING
        choices = _as_list(spec.get("choices") or spec.get("enum"))
        kinds = {kind_of(_parsed(one) if isinstance(one, str) else one) for one in choices}
        plain["kind"] = kinds.pop() if len(kinds) == 1 else "any"
    bounds = [plain[end] for end in ("minimum", "maximum") if end in plain]
    if bounds and plain["kind"] in ("any", "integer") and (default is NOTHING or _are_fractions(bounds)):
        plain["kind"] = "number" if _are_fractions(bounds) else "integer"
    return default


def _are_fractions(bounds: list[Any]) -> bool:
    """Whether a range says that what lies in it is not a count: ``[0, 1.0]`` and ``[0.5, 3]`` do."""
    return any(isinstance(bound, float) for bound in bounds)


def kind_of(value: Any) -> str:
    """The kind of a default that has no declared type."""
    if isinstance(value, bool):
        return "boolean"
    for python, kind in ((str, "string"), (int, "integer"), (float, "number"), (dict, "object")):
        if isinstance(value, python):
            return kind
    return "array" if isinstance(value, (list, tuple, set)) else "any"


def _repeated(plain: Plain, default: Any) -> Any:
    """The same argument, given several times."""
    about_all = ("name", "help", "required", "nullable", "location", "secret")
    whole = {member: value for member, value in plain.items() if member in about_all}
    items = {member: value for member, value in plain.items() if member not in about_all}
    whole.update(kind="array", items={"name": "", **items})
    if default is not NOTHING and default is not None and not isinstance(default, list):
        default = [default]
    return whole, default


def _parsed(text: str) -> Any:
    """What a string says as JSON, or as one of Python's three words; itself if it says neither."""
    if text.strip() in _PYTHON_WORDS:
        return _PYTHON_WORDS[text.strip()]
    try:
        value = json.loads(text)
        plain_value(value)
    except (ValueError, RecursionError, NotPlain):
        return text
    return value


def _decoded(plain: Plain, value: Any) -> Any:
    """A default or choice of a declared kind."""
    if isinstance(value, str) and plain["kind"] in ("integer", "number", "boolean", "array", "object", "any"):
        if plain.get("opaque"):
            return value
        value = _parsed(value)
    if plain["kind"] == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _as_text(value: Any) -> Any:
    """What a hook that wants strings is given for a default that is none."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(plain_value(value), ensure_ascii=False)
    except NotPlain:
        return value


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    try:
        return [value] if isinstance(value, str) else list(value)
    except TypeError:
        return [value]


def _upload(value: Any) -> Any:
    return with_uploads(value, compat.uploaded_file())


def _storage(value: Any) -> Any:
    return with_uploads(value, _open)


def _open(name: str, filename: str, content_type: str, original_filename: str) -> compat.FileStorage:
    with open(filename, "rb") as file:
        stream = io.BytesIO(file.read())
    return compat.FileStorage(stream, original_filename, name, content_type)
