"""Values as the literals of programming languages, on as few lines as can be read.

Names of features and texts of test queries are a stranger's. Whatever is not plainly visible, controls and marks that
turn text around among them, is written as an escape, so that a sample does what it looks like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WIDTH = 88
_R_NAME = re.compile(
    r"(?!(?:if|else|repeat|while|function|for|next|break|in|TRUE|FALSE|NULL|Inf|NaN|NA)\Z)[A-Za-z][A-Za-z0-9_]*"
)
_LEAST_IN_R, _MOST_IN_R = -(2**31) + 1, 2**31 - 1
_MOST_IN_JAVASCRIPT = 2**53 - 1


@dataclass(frozen=True)
class Notation:
    """How a language writes values.

    Attributes:
        text: A text.
        key: A name, with what stands between it and its value.
        number: A number, that it can write exactly.
        constants: What null, true and false are called.
        array, record: What opens and closes a list, and a mapping with something in it.
        empty: A mapping with nothing in it.
        indent: How much further in stands what is inside.
    """

    text: Callable[[str], str]
    key: Callable[[str], str]
    number: Callable[[int | float], str] = json.dumps
    constants: tuple[str, str, str] = ("null", "true", "false")
    array: tuple[str, str] = ("[", "]")
    record: tuple[str, str] = ("{", "}")
    empty: str = "{}"
    indent: int = 2

    def write(self, value: Any, column: int = 0) -> str:
        """A JSON value.

        Args:
            value: Numbers are finite.
            column: How far what stands in the lines below is indented; the first one is where it begins.
        """
        flat = self._flat(value)
        if column + len(flat) <= WIDTH or not isinstance(value, dict | list) or not value:
            return flat
        inner = column + self.indent
        between = ",\n" + " " * inner
        if isinstance(value, dict):
            opening, closing = self.record
            items = [self.key(key) + self.write(item, inner) for key, item in value.items()]
        else:
            opening, closing = self.array
            items = [self.write(item, inner) for item in value]
            if not any(isinstance(item, dict | list) for item in value):
                items = _filled(items, WIDTH - inner)
        return f"{opening}\n{' ' * inner}{between.join(items)}\n{' ' * column}{closing}"

    def _flat(self, value: Any) -> str:
        match value:
            case None:
                return self.constants[0]
            case bool():
                return self.constants[1 if value else 2]
            case str():
                return self.text(value)
            case int() | float():
                return self.number(value)
            case dict():
                inside = ", ".join(self.key(key) + self._flat(item) for key, item in value.items())
                return f"{self.record[0]}{inside}{self.record[1]}" if value else self.empty
            case _:
                return f"{self.array[0]}{', '.join(map(self._flat, value))}{self.array[1]}"


def _filled(items: list[str], width: int) -> list[str]:
    """Short items, as many on a line as fit."""
    lines = [items[0]]
    for item in items[1:]:
        if len(lines[-1]) + 2 + len(item) < width:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    return lines


_SHORTS = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _quoted(text: str, escape: Callable[[int], str]) -> str:
    """A text between quotes, its invisible characters by what ``escape`` says of their code points."""
    return (
        '"' + "".join(_SHORTS.get(char) or (char if char.isprintable() else escape(ord(char))) for char in text) + '"'
    )


def _in_utf_16(code: int) -> str:
    units = [code] if code < 0x10000 else [0xD800 + (code - 0x10000 >> 10), 0xDC00 + (code - 0x10000 & 0x3FF)]
    return "".join(f"\\u{unit:04x}" for unit in units)


def in_json(text: str) -> str:
    """A text in JSON, and as well in JavaScript."""
    return _quoted(text, _in_utf_16)


def in_python(text: str) -> str:
    """A text in Python."""
    return _quoted(text, lambda code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def in_r(text: str) -> str:
    """A text in R; it has no NUL."""
    return _quoted(text, lambda code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def in_java(text: str) -> str:
    """A text in Java, whose compiler need not know in what encoding it is."""
    return _plainly(_quoted(text, _in_utf_16))


def _plainly(text: str) -> str:
    return re.sub(r"[^\n -~]", lambda found: _in_utf_16(ord(found[0])), text)


def in_visual_basic(text: str) -> str:
    """A text of plain characters in Visual Basic, which knows no escapes."""
    return '"' + text.replace('"', '""') + '"'


def in_shell(text: str) -> str:
    """A text as one word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _javascript_key(key: str) -> str:
    # Written plainly, this one would set the object's prototype.
    return '["__proto__"]: ' if key == "__proto__" else f"{in_json(key)}: "


def _r_key(key: str) -> str:
    return f"{key if _R_NAME.fullmatch(key) else in_r(key)} = "


def _r_number(number: float) -> str:
    return f"{number}L" if isinstance(number, int) else json.dumps(number)


JSON = Notation(in_json, lambda key: f"{in_json(key)}: ")
PYTHON = Notation(in_python, lambda key: f"{in_python(key)}: ", constants=("None", "True", "False"), indent=4)
JAVASCRIPT = Notation(in_json, _javascript_key)
R = Notation(
    *(in_r, _r_key, _r_number),
    constants=("NULL", "TRUE", "FALSE"),
    array=("list(", ")"),
    record=("list(", ")"),
    empty="structure(list(), names = character())",
)


def plain_json(value: Any) -> str:
    """A value as JSON of nothing but plain characters, on several lines if it is long."""
    return _plainly(JSON.write(value))


def in_one_line(value: Any) -> str:
    """A value as JSON of nothing but plain characters."""
    return _plainly(json.dumps(value))


def fits_javascript(value: Any) -> bool:
    """Whether JavaScript's numbers can be these; it has none but floating-point ones."""
    return _all(value, lambda leaf: not isinstance(leaf, int) or abs(leaf) <= _MOST_IN_JAVASCRIPT)


def fits_r(value: Any) -> bool:
    """Whether R and its ``jsonlite`` would send exactly this: short integers, 15 digits, names, and no NUL."""

    def fits(leaf: Any) -> bool:
        if isinstance(leaf, str):
            return "\0" not in leaf
        if isinstance(leaf, float):
            return float(f"{leaf:.15g}") == leaf
        return not isinstance(leaf, int) or _LEAST_IN_R <= leaf <= _MOST_IN_R

    return _all(value, fits, lambda key: bool(key) and "\0" not in key)


def _all(value: Any, fits: Callable[[Any], bool], key_fits: Callable[[str], bool] = lambda key: True) -> bool:
    if isinstance(value, dict):
        return all(key_fits(key) and _all(item, fits, key_fits) for key, item in value.items())
    if isinstance(value, list):
        return all(_all(item, fits, key_fits) for item in value)
    return fits(value)
