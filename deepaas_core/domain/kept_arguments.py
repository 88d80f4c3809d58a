"""Arguments as a run's record keeps them, and how they are taken up again by a later run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepaas_core.domain.arguments import Argument, Arguments, Kind
from deepaas_core.domain.training import Run
from deepaas_core.errors import InvalidInput, Issue

REDACTED = "***"


def again(
    old: Run, arguments: Arguments, changes: Mapping[str, Any], files: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of a run that is tried again: plain ones still to be checked, and uploads as they were kept."""
    plain, missing = dict(changes), []
    kept = {key: value for key, value in files.items() if key in arguments and key not in changes}
    for key, argument in arguments.items():
        recorded = next((old.arguments[name] for name in (key, argument.name) if name in old.arguments), None)
        if recorded is None or key in changes or is_file(argument):
            continue
        if _hidden(recorded, argument):
            missing.append(Issue(f"/arguments/{key}", "This holds a secret, which was not kept; give it again."))
        plain[key] = recorded
    if missing:
        raise InvalidInput(missing)
    return plain, kept


def _hidden(value: Any, argument: Argument) -> bool:
    """Whether a recorded argument is, or holds, a secret that is not kept."""
    if argument.secret:
        return value is not None
    if isinstance(value, list) and argument.items is not None:
        return any(_hidden(item, argument.items) for item in value)
    if isinstance(value, Mapping):
        return any(_hidden(value[each.key], each) for each in argument.properties if each.key in value)
    return False


def is_file(argument: Argument) -> bool:
    """Whether it is an uploaded file, or several."""
    return Kind.FILE in (argument.kind, argument.items and argument.items.kind)


def shown(values: Mapping[str, Any], arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """Arguments as they may be kept and shown: no secrets, and uploads by the name the client gave them."""
    known = {argument.name: argument for argument in arguments.values()} | dict(arguments)
    return {key: _shown_one(value, known[key]) if key in known else value for key, value in values.items()}


def _shown_one(value: Any, argument: Argument) -> Any:
    if argument.secret:
        return value if value is None else REDACTED
    if isinstance(value, list):
        return [_shown_one(item, argument.items) if argument.items else item for item in value]
    if isinstance(value, Mapping) and argument.kind is Kind.FILE:
        return value.get("original_filename", value.get("filename"))
    if isinstance(value, Mapping):
        return shown(value, {member.key: member for member in argument.properties})
    return value
