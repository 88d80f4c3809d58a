"""What a generation answers to its test queries, beside what it should."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What became of one test query.

    Attributes:
        endpoint: Which endpoint was asked.
        name: The query's.
        problem: Why it was not passed; empty if it was.
        answer: What came back, if anything did.
        duration_s: How long that took.
    """

    endpoint: str
    name: str = ""
    problem: str = ""
    answer: Any = None
    duration_s: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problem


def difference(expected: Any, answer: Any, tolerance: float, where: str = "") -> str:
    """The first thing in an answer that is not as expected, as a sentence; empty if there is none.

    An object may have more members than are expected; a list may not.
    """
    place = f"At {where}: " if where else ""
    if isinstance(expected, Mapping) and isinstance(answer, Mapping):
        for name, value in expected.items():
            if name not in answer:
                return f"{place}there is no {name!r}."
            if found := difference(value, answer[name], tolerance, f"{where}.{name}" if where else str(name)):
                return found
        return ""
    if _is_list(expected) and _is_list(answer):
        if len(expected) != len(answer):
            return f"{place}{len(answer)} items instead of {len(expected)}."
        pairs = enumerate(zip(expected, answer, strict=True))
        differences = (difference(one, other, tolerance, f"{where}[{at}]") for at, (one, other) in pairs)
        return next(filter(None, differences), "")
    if _is_number(expected) and _is_number(answer):
        close = math.isclose(expected, answer, rel_tol=0.0, abs_tol=tolerance)
        return "" if close else f"{place}{answer!r} instead of {expected!r}."
    same = type(expected) is type(answer) and expected == answer
    return "" if same else f"{place}{_short(answer)} instead of {_short(expected)}."


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
