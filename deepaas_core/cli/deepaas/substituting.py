"""Values of options that stand in the values of others: ``log_file = /var/log/${model_name}.log``."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from deepaas_core.errors import SettingsError


class Readable(Protocol):
    """What reads the text of one option."""

    @property
    def default(self) -> Any: ...

    def read(self, text: str, where: str) -> Any: ...


@dataclass(frozen=True)
class Text:
    """What was written for an option.

    Attributes:
        text: With references to other options in it.
        where: Begins a complaint about it.
    """

    text: str
    where: str


class Values:
    r"""The values of options, each read when it is asked for.

    ``$name`` and ``${name}`` stand for the value of another option, wherever that was given; for its default, which
    may be empty, if it was not. ``$$`` and ``\$`` are a dollar sign, and so is one that no name follows.

    Args:
        options: By their keys.
        given: What was given for each, as text or as a value.
    """

    def __init__(self, options: Mapping[str, Readable], given: Mapping[str, Text | bool]):
        self._options = options
        self._given = given
        self._open: list[str] = []

    def read(self, key: str) -> Any:
        """The value of an option; None if it has none.

        Raises:
            SettingsError: It cannot be read, or refers to what is no option, or in the end to itself.
        """
        given = self._given.get(key, self._options[key].default)
        if not isinstance(given, Text):
            return given
        if key in self._open:
            circle = " -> ".join([*self._open[self._open.index(key) :], key])
            raise SettingsError(f"{given.where} refers to itself: {circle}.")
        self._open.append(key)
        try:
            text = _Template(given.text.replace(r"\$", "$$")).safe_substitute(_References(self, given.where))
        finally:
            self._open.pop()
        return self._options[key].read(text, given.where)

    def __contains__(self, key: object) -> bool:
        return key in self._options


class _Template(string.Template):
    idpattern = r"(?a:[_a-z][._a-z0-9]*)"


class _References(dict[str, str]):
    """Finds what references stand for."""

    def __init__(self, values: Values, where: str):
        super().__init__()
        self._values = values
        self._where = where

    def __missing__(self, name: str) -> str:
        if name not in self._values:
            raise SettingsError(
                f"{self._where} refers to ${name}, which is no option; ${{name}} ends a name, and $$ is a dollar sign."
            )
        value = self._values.read(name)
        return "" if value is None else str(value)
