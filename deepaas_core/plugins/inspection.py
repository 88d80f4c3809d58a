"""From what a worker says of its plugin to the typed ``Model``.

The worker runs the author's code, so its description is taken for what it is: somebody else's data. Whatever has the
wrong type is a fault of the model package that is told at start-up, not a surprise in the middle of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepaas_core.domain.argument import Argument
from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.errors import PluginError


def inspect(source: Source, description: Mapping[str, Any]) -> Model:
    """Read a worker's description of a model.

    Args:
        source: Where the model comes from.
        description: What the worker sent when it was ready.

    Raises:
        PluginError: The description is not one, or ``get_metadata`` and its like returned something else than a dict.
    """
    arguments = _object(description, "arguments", source) or {}
    any_keyword = _strings({"any_keyword": [], **description}, "any_keyword", source)
    return Model(
        source=source,
        capabilities=frozenset(_capability(one, source) for one in _strings(description, "capabilities", source)),
        arguments={
            _capability(hook, source): _arguments(hook, plain, source, hook in any_keyword)
            for hook, plain in arguments.items()
        },
        metadata={**_distribution(source), **(_object(description, "metadata", source, "get_metadata()") or {})},
        signature=_object(description, "signature", source, "get_signature()"),
        response=_response(description.get("response"), source),
        warnings=_strings(description, "warnings", source),
        python=str(description.get("python") or ""),
    )


def _distribution(source: Source) -> dict[str, str]:
    """What the installed distribution says of itself, in the words that ``get_metadata`` uses."""
    said = {
        "name": source.distribution,
        "version": source.version,
        "description": source.summary,
        "author": source.author,
        "license": source.license,
        "homepage": source.homepage,
    }
    return {key: text for key, text in said.items() if text}


def _capability(name: object, source: Source) -> Capability:
    try:
        return Capability(str(name))
    except ValueError:
        raise PluginError(f"Model {source.name!r}: its worker offers {name!r}, which is no capability.") from None


def _arguments(hook: str, plain: object, source: Source, any_other: bool = False) -> Arguments:
    if not isinstance(plain, list):
        raise PluginError(f"Model {source.name!r}: the arguments of {hook} must be a list, not {_kind(plain)}.")
    try:
        return Arguments.from_plain(plain, any_other)
    except ValueError as error:
        raise PluginError(f"Model {source.name!r}: the arguments of {hook} cannot be used: {error}.") from error


def _response(plain: object, source: Source) -> tuple[Argument, ...] | None:
    if plain is None:
        return None
    return tuple(_arguments("schema", plain, source).values())


def _object(
    description: Mapping[str, Any], member: str, source: Source, function: str = ""
) -> Mapping[str, Any] | None:
    value = description.get(member)
    if value is None or isinstance(value, Mapping):
        return value
    if function:
        raise PluginError(f"Model {source.name!r}: {function} must return a dict, not {_kind(value)}.")
    raise PluginError(f"Model {source.name!r}: {member!r} of its description must be an object, not {_kind(value)}.")


def _strings(description: Mapping[str, Any], member: str, source: Source) -> tuple[str, ...]:
    value = description.get(member, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PluginError(f"Model {source.name!r}: {member!r} of its description must be a list of strings.")
    return tuple(value)


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
    return names.get(type(value), type(value).__name__)
