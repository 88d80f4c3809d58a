"""Classes with members as type hints: data classes, named tuples, typed dictionaries, and pydantic's models.

The members of the first three are checked by the server before a worker sees them. What a class of pydantic takes is
up to pydantic alone, of whichever version the model has; its members are described for whoever reads.
"""

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional

from .declared import NOTHING, Convert, Declared, Plain, Unfit, keeping_null, pointer_to

MAX_DEPTH = 10

Described = tuple[Plain, Optional[Convert]]
Describe = Callable[[Any], Described]

#: The classes whose members are being described, the outermost first: one that holds itself is not followed for ever.
_open: list[type] = []


class Member(NamedTuple):
    """What is known of one member.

    Attributes:
        name: As JSON has it.
        hint: Its type hint.
        default: ``NOTHING`` if it has none.
        required: It must be given.
        notes: What bounds it, or explains it, as in ``Annotated``.
    """

    name: str
    hint: Any
    default: Any = NOTHING
    required: bool = True
    notes: tuple[Any, ...] = ()


def has_members(hint: Any) -> bool:
    """Whether a type hint is a class whose members are known."""
    return isinstance(hint, type) and (_is_pydantic(hint) or _members_of(hint) is not None)


def describe(hint: type, of: Describe, explain: Callable[[str], Mapping[str, str]]) -> Optional[Described]:
    """A class as plain data, and the conversion to it from a JSON object; None if it has no members to speak of.

    Args:
        hint: The class.
        of: Describes the hint of a member.
        explain: What a docstring says of each member.
    """
    members = _members_of_model(hint) if _is_pydantic(hint) else _members_of(hint)
    if members is None:
        return None
    plain: Plain = {"kind": "object"}
    converters: dict[str, Convert] = {}
    if hint not in _open and len(_open) < MAX_DEPTH:
        _open.append(hint)
        try:
            explanations = explain(inspect.getdoc(hint) or "")
            plain["properties"] = [_described(one, of, explanations, converters) for one in members]
        finally:
            _open.pop()
    elif not _is_pydantic(hint):  # what is in it is described where it is used
        return plain, lambda value: _inner(hint, of, explain)(value)
    if _is_pydantic(hint):
        return {**plain, "opaque": True}, lambda value: _validated(hint, value)
    if _is_typed_dict(hint):
        return plain, (lambda value: _converted(value, converters)) if converters else None
    return plain, lambda value: _made(hint, value, converters)


def _described(member: Member, of: Describe, explanations: Mapping[str, str], converters: dict[str, Convert]) -> Plain:
    hint = member.hint
    if member.notes:
        hint = typing.Annotated[(hint, *member.notes)]  # type: ignore[valid-type, unused-ignore]
    found, convert = of(hint)
    if convert is not None:
        converters[member.name] = convert if member.default is not None else keeping_null(convert)
    plain: Plain = {"name": member.name, **found}
    if member.name in explanations:
        plain.setdefault("help", explanations[member.name])
    if member.required:
        plain["required"] = True
    elif member.default is None:
        plain["nullable"] = True
    return Declared(plain, default=NOTHING if callable(member.default) else member.default).plain


def _inner(hint: type, of: Describe, explain: Callable[[str], Mapping[str, str]]) -> Convert:
    described = describe(hint, of, explain)
    return (described and described[1]) or (lambda value: value)


# From JSON to objects.


def _converted(value: Any, converters: Mapping[str, Convert]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("Must be an object.")
    made: dict[str, Any] = {}
    issues: list[tuple[str, str]] = []
    for name, inner in value.items():
        try:
            made[name] = converters[name](inner) if name in converters else inner
        except Exception as error:  # whatever the author's type raises, it refuses
            issues += Unfit.issues_of(error, pointer_to(name))
    if issues:
        raise Unfit(issues)
    return made


def _made(hint: type, value: Any, converters: Mapping[str, Convert]) -> Any:
    if isinstance(value, hint):
        return value
    members = _converted(value, converters)
    try:
        return hint(**members)
    except TypeError as error:
        raise ValueError(str(error).replace(f"{hint.__name__}.__init__() ", "")) from None
    except Exception as error:
        raise _told_by_pydantic(error) from None


def _validated(hint: Any, value: Any) -> Any:
    from_text = isinstance(value, str)
    if hasattr(hint, "model_validate"):
        validate = hint.model_validate_json if from_text else hint.model_validate
    else:
        validate = hint.parse_raw if from_text else hint.parse_obj
    try:
        return validate(value)
    except Exception as error:
        raise _told_by_pydantic(error) from None


def _told_by_pydantic(error: Exception) -> Exception:
    """A refusal of pydantic's member by member; any other exception as it is."""
    told = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or not callable(told):
        return error
    issues = []
    for one in told():
        place = [step for step in one.get("loc", ()) if step != "__root__"]
        issues.append(("".join(map(pointer_to, place)), str(one.get("msg", ""))))
    return Unfit(issues) if issues else error


# What members a class has.


def _members_of(hint: type) -> Optional[list[Member]]:
    if dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return [_of_field(one, hints.get(one.name, Any)) for one in dataclasses.fields(hint) if one.init]
    if _is_typed_dict(hint):
        required = hint.__required_keys__  # type: ignore[attr-defined]
        return [
            Member(name, _bare(inner), required=name in required and not _says(inner, "NotRequired"))
            for name, inner in _hints(hint).items()
        ]
    if issubclass(hint, tuple) and hasattr(hint, "_fields"):
        hints, defaults = _hints(hint), getattr(hint, "_field_defaults", {})
        return [
            Member(name, hints.get(name, Any), defaults.get(name, NOTHING), name not in defaults)
            for name in hint._fields
        ]
    return None


def _of_field(field: Any, hint: Any) -> Member:
    if field.default is not dataclasses.MISSING:
        return Member(field.name, hint, field.default, required=False)
    return Member(field.name, hint, required=field.default_factory is dataclasses.MISSING)


def _members_of_model(hint: Any) -> list[Member]:
    fields = getattr(hint, "model_fields", None)
    if fields is not None:
        return [_of_pydantic(name, field) for name, field in fields.items()]
    return [
        Member(
            field.alias,
            field.outer_type_,
            NOTHING if field.required else field.default,
            bool(field.required),
            (field.field_info,),
        )
        for field in hint.__fields__.values()
    ]


def _of_pydantic(name: str, field: Any) -> Member:
    key = next((one for one in (field.validation_alias, field.alias) if isinstance(one, str)), name)
    required = field.is_required()
    default = NOTHING if required or field.default_factory is not None else field.default
    notes = tuple(field.metadata) + ((field,) if field.description else ())
    return Member(key, field.annotation, default, required, notes)


def _is_pydantic(hint: Any) -> bool:
    return (hasattr(hint, "model_validate") and hasattr(hint, "model_fields")) or (
        hasattr(hint, "parse_obj") and hasattr(hint, "__fields__")
    )


def _is_typed_dict(hint: Any) -> bool:
    return hasattr(hint, "__required_keys__") and hasattr(hint, "__total__")


def _hints(hint: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(hint, include_extras=True)
    except Exception:  # names that exist only for type checkers, or not yet
        return dict.fromkeys(getattr(hint, "__annotations__", {}), Any)


def _says(hint: Any, word: str) -> bool:
    return getattr(typing.get_origin(hint), "_name", "") == word


def _bare(hint: Any) -> Any:
    """A hint of a typed dictionary without what it says of its key."""
    while any(_says(hint, word) for word in ("Required", "NotRequired", "ReadOnly")):
        hint = typing.get_args(hint)[0]
    return hint
