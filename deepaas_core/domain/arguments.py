"""Arguments: what a model's hook can be told, whichever way its author spelled it.

Three spellings (a dict of dicts, marshmallow fields, type hints) are described by the worker, where the author's
objects live, as plain data. Here that description becomes ``Arguments``, the one type from which the request schema
and the OpenAPI document follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import marshmallow

from deepaas_core.domain.argument import Argument, Kind
from deepaas_core.domain.checks import Upload, make_schema, plain
from deepaas_core.errors import InvalidInput, Issue

__all__ = ["Argument", "Arguments", "Kind", "Upload", "issues"]

MAX_ISSUES = 100
MAX_POINTER_LENGTH = 300


@dataclass(frozen=True)
class Arguments(Mapping[str, Argument]):
    """The arguments of one hook, by the key a request uses, in the author's order.

    Attributes:
        any_other: It takes arguments that are not declared, too: what they are is known to the function alone.
    """

    _by_key: Mapping[str, Argument] = field(default_factory=dict)
    any_other: bool = False

    @classmethod
    def from_plain(cls, plain: Iterable[object], any_other: bool = False) -> Arguments:
        """Read what a worker said of a hook's arguments.

        Raises:
            ValueError: It is not a description of arguments, or two of them share a key.
        """
        by_key: dict[str, Argument] = {}
        for description in plain:
            argument = Argument.from_plain(description)
            if not argument.name:
                raise ValueError("an argument has no name")
            if argument.key in by_key:
                raise ValueError(f"two arguments are called {argument.key!r}")
            by_key[argument.key] = argument
        return cls(by_key, any_other)

    def __getitem__(self, key: str) -> Argument:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def schema(self) -> marshmallow.Schema:
        """The schema of a request: built once, gives JSON-native values by key, refuses what is not declared."""
        return self._schema

    @cached_property
    def _schema(self) -> marshmallow.Schema:
        return make_schema(self._by_key.values())

    @cached_property
    def defaults(self) -> Mapping[str, Any] | None:
        """What a request that sends nothing means, by key; None if something is required. Not to be changed."""
        if any(argument.required for argument in self._by_key.values()):
            return None
        return {key: argument.default for key, argument in self._by_key.items() if _applies_default(argument)}

    @cached_property
    def _exact_schema(self) -> marshmallow.Schema:
        return make_schema(self._by_key.values(), exact=True)

    def load_exact(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check the arguments of a function that came as JSON, and fill in the defaults.

        Other than for ``load``, text is text: ``"[5]"`` is no list. A list of one is taken for what is in it where a
        single value is wanted, since that is how clients in R write one.

        Raises:
            InvalidInput: One issue for everything that is wrong.
        """
        return self._loaded(self._exact_schema, values)

    def load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check what a caller sent, and fill in the defaults.

        Args:
            values: By key: JSON values, or text from a place that knows nothing else.

        Returns:
            JSON-native values by key.

        Raises:
            InvalidInput: One issue for everything that is wrong.
        """
        if not values and self.defaults is not None:
            return dict(self.defaults)
        return self._loaded(self._schema, values)

    def _loaded(self, schema: marshmallow.Schema, values: Mapping[str, Any]) -> dict[str, Any]:
        undeclared = [key for key in values if key not in self._by_key] if self.any_other else []
        declared = {key: values[key] for key in values if key in self._by_key} if undeclared else values
        try:
            loaded: dict[str, Any] = schema.load(declared)
            for key in undeclared:
                loaded[key] = plain(values[key])
        except marshmallow.ValidationError as error:
            raise InvalidInput(issues(error.messages)) from None
        return loaded


def issues(messages: Any) -> tuple[Issue, ...]:
    """One issue for each of marshmallow's messages (a text, a list or a mapping of them), up to a hundred."""
    return tuple(islice(_issues(messages, ""), MAX_ISSUES))


def _issues(messages: Any, pointer: str) -> Iterator[Issue]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _issues(inner, pointer if key == "_schema" else f"{pointer}/{_escaped(key)}")
    elif isinstance(messages, list | tuple):
        for inner in messages:
            yield from _issues(inner, pointer)
    else:
        yield Issue(pointer[:MAX_POINTER_LENGTH], str(messages))


def _escaped(key: object) -> str:
    """A key as a part of a JSON pointer (RFC 6901), fit to be encoded whatever the client called it."""
    text = str(key).replace("~", "~0").replace("/", "~1")
    return text.encode("utf-8", "replace").decode()


def _applies_default(argument: Argument) -> bool:
    return argument.has_default and not argument.computed_default and argument.kind is not Kind.FILE
