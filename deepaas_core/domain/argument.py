"""One argument of a model's hook, and how it is read from the plain data in which a worker describes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_NESTING = 20
LOCATIONS = frozenset({"query", "form", "json", "header", "cookie"})


class Kind(StrEnum):
    """What an argument's value is, in the terms of JSON Schema where it has one."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    DURATION = "duration"
    UUID = "uuid"
    DECIMAL = "decimal"
    URL = "url"
    EMAIL = "email"
    FILE = "file"
    ANY = "any"


@dataclass(frozen=True)
class Argument:
    """One thing a hook can be told.

    Attributes:
        name: The name the hook knows it by.
        key: The name a request uses; the same, unless the author's field has a ``data_key``.
        kind: What the value is.
        help: The author's explanation.
        required: A request without it is refused, even if a default is stated.
        default: Applied when a request leaves it out; meaningful only if ``has_default``.
        computed_default: The author gave a function as the default: the worker calls it, the server sends nothing.
        nullable: ``null`` is a value.
        text: The hook wants the characters as they were sent (the ``user_conf`` spelling): scalars and JSON are kept
            as strings, and any JSON a client sends is taken as its text.
        items: For arrays, what each item is (its name is empty).
        properties: For objects, what is known of their members; empty means anything. Their defaults are not applied
            here, the author's own schema does that.
        choices: The only values allowed; empty means no restriction.
        minimum, maximum: Bounds of a number, inclusive unless ``exclusive_*`` is set.
        min_length, max_length: Bounds of a string's or array's length.
        pattern: Regular expression a string must match from its start. The worker checks it, not the server: a pattern
            that backtracks would hold up everybody's requests.
        location: Where alone it is read from (query, form, json, header, cookie); None means anywhere.
        secret: Its value is not to be shown or kept in clear.
        opaque: The author's own field class decides what is valid; the server passes the value on unchecked.
        own_rules: What is said here is true, but the author's own field has further rules, or other words for them.
        by_field: It is spelled as a field of marshmallow's, which reads values once more, in the worker.
    """

    name: str
    key: str
    kind: Kind = Kind.ANY
    help: str = ""
    required: bool = False
    default: Any = None
    has_default: bool = False
    computed_default: bool = False
    nullable: bool = False
    text: bool = False
    items: Argument | None = None
    properties: tuple[Argument, ...] = ()
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    location: str | None = None
    secret: bool = False
    opaque: bool = False
    own_rules: bool = False
    by_field: bool = False

    @property
    def up_to_the_model(self) -> bool:
        """Whether the server does not know all that the value must be, or how its author puts it."""
        inside = (*self.properties, *([self.items] if self.items else ()))
        known = not (self.opaque or self.own_rules or self.pattern is not None)
        return not known or any(argument.up_to_the_model for argument in inside)

    @classmethod
    def from_plain(cls, plain: object, depth: int = 0) -> Argument:
        """Read what a worker said of an argument.

        Raises:
            ValueError: It is not the description of an argument; the text says which part of it is wrong.
        """
        if not isinstance(plain, Mapping):
            raise ValueError(f"an argument must be described by an object, not {type(plain).__name__}")
        if depth > MAX_NESTING:
            raise ValueError(f"arguments are nested more than {MAX_NESTING} levels deep")
        read = _Reader(plain)
        name = read.text("name") or ""
        location = read.text("location")
        if location is not None and location not in LOCATIONS:
            raise ValueError(f"argument {name!r}: {location!r} is no location")
        items = plain.get("items")
        return cls(
            name=name,
            key=read.text("key") or name,
            kind=read.kind(),
            help=read.text("help") or "",
            required=read.flag("required"),
            default=plain.get("default"),
            has_default="default" in plain,
            computed_default=read.flag("computed_default"),
            nullable=read.flag("nullable"),
            text=read.flag("text"),
            items=None if items is None else cls.from_plain(items, depth + 1),
            properties=tuple(cls.from_plain(member, depth + 1) for member in read.sequence("properties")),
            choices=tuple(read.sequence("choices")),
            minimum=read.number("minimum"),
            maximum=read.number("maximum"),
            exclusive_minimum=read.flag("exclusive_minimum"),
            exclusive_maximum=read.flag("exclusive_maximum"),
            min_length=read.length("min_length"),
            max_length=read.length("max_length"),
            pattern=read.text("pattern"),
            location=location,
            secret=read.flag("secret"),
            opaque=read.flag("opaque"),
            own_rules=read.flag("own_rules"),
            by_field=read.flag("by_field"),
        )


class _Reader:
    """Takes members of a description, each of the type it must have."""

    def __init__(self, plain: Mapping[str, Any]):
        self._plain = plain

    def kind(self) -> Kind:
        value = self._plain.get("kind", Kind.ANY)
        try:
            return Kind(value)
        except ValueError:
            raise self._wrong("kind", "one of " + ", ".join(Kind)) from None

    def text(self, member: str) -> str | None:
        value = self._plain.get(member)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(member, "a string")

    def flag(self, member: str) -> bool:
        value = self._plain.get(member, False)
        if isinstance(value, bool):
            return value
        raise self._wrong(member, "true or false")

    def number(self, member: str) -> float | None:
        value = self._plain.get(member)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)):
            return value
        raise self._wrong(member, "a number")

    def length(self, member: str) -> int | None:
        value = self._plain.get(member)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        raise self._wrong(member, "a whole number of at least 0")

    def sequence(self, member: str) -> list[Any]:
        value = self._plain.get(member, [])
        if isinstance(value, list):
            return value
        raise self._wrong(member, "a list")

    def _wrong(self, member: str, expected: str) -> ValueError:
        return ValueError(f"argument {self._plain.get('name')!r}: {member!r} must be {expected}")
