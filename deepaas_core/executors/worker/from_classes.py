"""Classes with members as type hints: data classes, named tuples, typed dictionaries, and pydantic's models.

The server passes on what is sent for them unchecked, and shows what is known of their members. What a class of pydantic
takes is up to pydantic alone, of whichever version the model has; the members of the others are checked here.
"""

import dataclasses
import inspect
import json
import sys
import threading
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple

from .checking import Described, checker, each
from .declared import NOTHING, Convert, Declared, Plain, Unfit, pointer_to

#: How deep, and how many members in all, are shown of the classes below one hint.
MAX_DEPTH, MAX_MEMBERS = 5, 400
UNKNOWN, MISSING = "Unknown argument.", "This argument is required."

Describe = Callable[[Any], Described]
Explain = Callable[[str], Mapping[str, str]]


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


class _Shown(threading.local):
    """What is being described: the classes, the outermost first, and how many members so far."""

    def __init__(self) -> None:
        self.open: list[Any] = []
        self.members = 0


_shown = _Shown()
_makers: dict[Any, Convert] = {}


def has_members(hint: Any) -> bool:
    """Whether a type hint is a class whose members are known, or one of its generic kinds."""
    hint = typing.get_origin(hint) or hint
    return isinstance(hint, type) and (_is_pydantic(hint) or _is_plain(hint))


def described(hint: type, of: Describe, explain: Explain) -> Described:
    """A class that has members as plain data, and what makes an object of it of what was sent.

    Args:
        hint: The class.
        of: Describes the hint of a member.
        explain: What a docstring says of each member.
    """
    root = _root_of(hint)
    plain: Plain = {"kind": "any" if root is not None else "object", "opaque": True}
    if not _shown.open:
        _shown.members = 0
    if hint not in _shown.open and len(_shown.open) < MAX_DEPTH and _shown.members < MAX_MEMBERS:
        _shown.open.append(hint)
        try:
            plain.update(_inside(hint, root, of, explain))
        finally:
            _shown.open.pop()
    if _is_pydantic(hint):
        return plain, lambda value: _validated(hint, value)
    if hint not in _makers:
        _makers[hint] = _Maker(hint, of)
    return plain, _makers[hint]


def _inside(hint: type, root: Any, of: Describe, explain: Explain) -> Plain:
    if root is not None:
        return {**of(root)[0], "opaque": True}
    members = members_of(hint)[:MAX_MEMBERS]
    _shown.members += len(members)
    explanations = explain(inspect.getdoc(hint) or "")
    return {"properties": [_described(one, of, explanations)[0] for one in members]}


def _described(member: Member, of: Describe, explanations: Mapping[str, str]) -> Described:
    hint = member.hint
    if member.notes:
        hint = typing.Annotated[(hint, *member.notes)]  # type: ignore[valid-type, unused-ignore]
    found, convert = of(hint)
    plain: Plain = {"name": member.name, **found}
    if member.name in explanations:
        plain.setdefault("help", explanations[member.name])
    if member.required:
        plain["required"] = True
    elif member.default is None:
        plain["nullable"] = True
    return Declared(plain, default=NOTHING if callable(member.default) else member.default).plain, convert


# From JSON to objects.


class _Maker:
    """Makes objects of a class, once its members have been looked at."""

    def __init__(self, hint: type, of: Describe):
        self._hint, self._of = hint, of
        self._checks: dict[str, Convert] = {}
        self._required: list[str] = []
        self._seen = False

    def __call__(self, value: Any) -> Any:
        if not _is_typed_dict(self._hint) and isinstance(value, self._hint):
            return value
        if not self._seen:  # a class may hold itself, or one that did not exist when the function was written
            self._look()
        if isinstance(value, str):  # a query or a form can send nothing else
            value = _decoded(value)
        if not isinstance(value, dict):
            raise ValueError("Must be an object.")
        missing = [(pointer_to(name), MISSING) for name in self._required if name not in value]
        members = each(((name, inner, self._checks.get(name, _unknown)) for name, inner in value.items()), missing)
        return members if _is_typed_dict(self._hint) else _made(self._hint, members)

    def _look(self) -> None:
        members = members_of(self._hint)
        self._checks = {one.name: checker(_described(one, self._of, {})) for one in members}
        self._required = [one.name for one in members if one.required]
        self._seen = True


def _unknown(_: Any) -> Any:
    raise ValueError(UNKNOWN)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _made(hint: Any, members: Mapping[str, Any]) -> Any:
    try:
        return hint(**members)
    except Exception as error:
        raise _told_by_pydantic(error, members) from None


def _validated(hint: Any, value: Any) -> Any:
    """What pydantic makes of a value, by the rules for JSON if it is of JSON."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):  # there is an array in it
        text = ""
    try:
        return _validate(hint, value, text)
    except Exception as error:
        first = error
    if isinstance(value, str):  # which may hold JSON, if it came from a query or a form
        try:
            return _validate(hint, value, value)
        except Exception:
            pass
    raise _told_by_pydantic(first, value) from None


def _validate(hint: Any, value: Any, text: str) -> Any:
    if hasattr(hint, "model_validate"):
        return hint.model_validate_json(text) if text else hint.model_validate(value)
    if hasattr(hint, "__pydantic_validator__"):  # a data class of pydantic's
        validator = hint.__pydantic_validator__
        return validator.validate_json(text) if text else validator.validate_python(value)
    return hint.parse_raw(text) if text else hint.parse_obj(value)


def _told_by_pydantic(error: Exception, value: Any) -> Exception:
    """A refusal of pydantic's member by member; any other exception as it is."""
    told = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or not callable(told):
        return error
    issues = [(_place(one.get("loc", ()), one.get("type", ""), value), str(one.get("msg", ""))) for one in told()]
    return Unfit(issues) if issues else error


def _place(steps: Iterable[Any], kind: str, value: Any) -> str:
    """Where in a value something is wrong; the names of a union's members, which pydantic puts between, left out."""
    pointer, steps = "", list(steps)
    for number, step in enumerate(steps):
        inside = step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int)
        if inside:
            value = value[step] if isinstance(value, dict) or step < len(value) else None
            pointer += pointer_to(step)
        elif number == len(steps) - 1 and "missing" in kind:
            pointer += pointer_to(step)
    return pointer


# What members a class has.


def members_of(hint: Any) -> list[Member]:
    """The members of a class that has some."""
    if _is_pydantic(hint):
        return _members_of_model(hint)
    hints = _hints(hint)
    if _is_typed_dict(hint):
        required = hint.__required_keys__
        return [
            Member(
                name,
                _bare(inner),
                required=(name in required or _says(inner, "Required")) and not _says(inner, "NotRequired"),
            )
            for name, inner in hints.items()
        ]
    if dataclasses.is_dataclass(hint):
        fields = hint.__dataclass_fields__.values()
        wanted = ("_FIELD", "_FIELD_INITVAR")
        return [
            _of_field(one, hints.get(one.name, Any))
            for one in fields
            if one.init and getattr(one, "_field_type", None).__repr__() in wanted
        ]
    defaults = getattr(hint, "_field_defaults", {})
    return [
        Member(name, hints.get(name, Any), defaults.get(name, NOTHING), name not in defaults) for name in hint._fields
    ]


def _of_field(field: Any, hint: Any) -> Member:
    hint = _bare(getattr(hint, "type", hint) if isinstance(hint, dataclasses.InitVar) else hint)
    if field.default is not dataclasses.MISSING:
        return Member(field.name, hint, field.default, required=False)
    return Member(field.name, hint, required=field.default_factory is dataclasses.MISSING)


def _members_of_model(hint: Any) -> list[Member]:
    fields = getattr(hint, "__pydantic_fields__", None) or getattr(hint, "model_fields", None)
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
    alias = field.validation_alias or field.alias or name
    if hasattr(alias, "choices"):  # any of several; the first is shown
        alias = alias.choices[0]
    hint = field.annotation
    if hasattr(alias, "path"):  # from deep inside
        alias, hint = alias.path[0], Any if len(alias.path) > 1 else hint
    required = field.is_required()
    default = NOTHING if required or field.default_factory is not None else field.default
    notes = tuple(field.metadata) + ((field,) if field.description else ())
    return Member(str(alias), hint, default, required, notes if hint is not Any else ())


def _root_of(hint: Any) -> Any:
    """What a model of pydantic's that is only one value is made of; None for the others."""
    if getattr(hint, "__pydantic_root_model__", False) and "root" in getattr(hint, "model_fields", {}):
        return hint.model_fields["root"].annotation
    field = getattr(hint, "__fields__", {}).get("__root__") if not hasattr(hint, "model_validate") else None
    return getattr(field, "outer_type_", None)


def _is_pydantic(hint: Any) -> bool:
    return any(
        hasattr(hint, method) and hasattr(hint, fields)
        for method, fields in (
            ("model_validate", "model_fields"),
            ("parse_obj", "__fields__"),
            ("__pydantic_validator__", "__pydantic_fields__"),
        )
    )


def _is_plain(hint: Any) -> bool:
    is_named_tuple = issubclass(hint, tuple) and hasattr(hint, "_fields")
    return dataclasses.is_dataclass(hint) or is_named_tuple or _is_typed_dict(hint)


def _is_typed_dict(hint: Any) -> bool:
    return hasattr(hint, "__required_keys__") and hasattr(hint, "__total__")


def _hints(hint: type) -> dict[str, Any]:
    """The type hints of a class and what it derives from; one that cannot be resolved here means anything."""
    try:
        return typing.get_type_hints(hint, include_extras=True)
    except Exception:  # a name that exists only for type checkers, or that this Python does not have
        pass
    found: dict[str, Any] = {}
    for base in reversed(hint.__mro__):
        scope = dict(vars(sys.modules.get(base.__module__, typing)))
        for name, said in vars(base).get("__annotations__", {}).items():
            said = getattr(said, "__forward_arg__", said)
            try:
                found[name] = eval(said, scope, dict(vars(base))) if isinstance(said, str) else said  # the author's own
            except Exception:
                found[name] = Any
    return found


def _says(hint: Any, word: str) -> bool:
    return getattr(typing.get_origin(hint), "_name", "") == word


def _bare(hint: Any) -> Any:
    """A member's hint without what it says of the member, and not of its value."""
    while any(_says(hint, word) for word in ("Required", "NotRequired", "ReadOnly")) or (
        typing.get_origin(hint) is typing.Final
    ):
        hint = typing.get_args(hint)[0]
    return hint
