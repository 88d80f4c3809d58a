"""The recurring parts of the document, and what makes texts and values of a model's fit to stand in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

API = "/api/v1"

_MAX_TEXT = 2000  # characters
_MAX_DEPTH = 200


def answer(description: str, schema: Json) -> Json:
    """A response that is JSON."""
    return {"description": description, "content": {JSON: {"schema": schema}}}


def problems(*statuses: int) -> Json:
    """The responses that are problem documents, by status."""
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def reference(name: str) -> Json:
    """A schema among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def members(properties: Mapping[str, Any], required: Sequence[str]) -> Json:
    """The schema of an object."""
    return {"type": "object", "properties": dict(properties), **({"required": list(required)} if required else {})}


def text(words: Any) -> str:
    """A model's text for a place that is read as Markdown: no HTML, no pictures, not without end."""
    shown = str(words or "")
    if len(shown) > _MAX_TEXT:
        shown = shown[:_MAX_TEXT] + " …"
    return shown.replace("<", "\\<").replace("![", "!\\[").strip()


def code(value: Any) -> str:
    """A value inside a sentence."""
    shown = value if isinstance(value, str) else json.dumps(value, default=str)
    return "`` " + shown[:_MAX_TEXT].replace("`", "'") + " ``"


def strict(value: Any, depth: int = 0) -> Any:
    """The same as JSON that everybody reads: text keys, no lone surrogates, no NaN, 64 bits, no endless nesting."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {strict(str(key)): strict(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item, depth + 1) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and value.bit_length() > 63:
        return float(value) if value.bit_length() < 1000 else None
    return value
