"""Rows for an endpoint that declares no inputs: what can be told of them by the function's own arguments."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from deepaas_core.domain.arguments import Arguments, Kind
from deepaas_core.domain.features import MAX_CALL_ROWS, Checked, Record, number_of, says_nothing
from deepaas_core.errors import InvalidInput, Issue


class LooseChecker:
    """Checks rows against arguments, as far as the function names any; see ``features.Checker``.

    A function that takes whole rows, or a table of them, declares none of their columns, and gets what was sent: the
    numbers of a CSV file as numbers, its empty cells as null.
    """

    def __init__(self, arguments: Arguments):
        self._arguments = arguments
        self.call_rows = MAX_CALL_ROWS
        self.names: list[str] = []

    def check(self, rows: Sequence[Any]) -> Checked:
        """Look at rows that came as JSON."""
        return self._checked(rows, exact=True)

    def check_cells(self, table: Mapping[str, Sequence[str]], count: int, comma: bool = False) -> Checked:
        """Look at rows that came as text."""
        names = list(table)
        rows = [dict(zip(names, cells, strict=True)) for cells in zip(*table.values(), strict=True)] if table else []
        return self._checked([self._guessed(row, comma) for row in rows], exact=False)

    def missing(self, names: Collection[str]) -> list[Issue]:
        """Nothing: that a column is missing is told row by row."""
        return []

    def _checked(self, rows: Sequence[Any], exact: bool) -> Checked:
        records: list[Record | None] = []
        issues: dict[int, list[Issue]] = {}
        load = self._arguments.load_exact if exact else self._arguments.load
        for at, row in enumerate(rows):
            try:
                if not isinstance(row, Mapping):
                    raise InvalidInput([Issue("", "Must be an object of inputs by name.")])
                named = row.keys() & self._arguments.keys()
                records.append(load(row) if named else dict(row))
            except InvalidInput as error:
                issues[at] = list(error.issues)
                records.append(None)
        return Checked(records, issues)

    def _guessed(self, row: Mapping[str, str], comma: bool) -> Record:
        named = {name: self._written(name, row[name], comma) for name in row if name in self._arguments}
        told = {name: cell for name, cell in named.items() if not says_nothing(cell)}
        if named and not self._arguments.any_other:  # columns that the function has no use for are ignored
            return told
        return {name: _guess(cell, comma) for name, cell in row.items() if name not in named} | told

    def _written(self, name: str, cell: str, comma: bool) -> str:
        is_number = self._arguments[name].kind in (Kind.NUMBER, Kind.INTEGER)
        return cell.replace(",", ".") if comma and is_number else cell


def _guess(cell: str, comma: bool) -> Any:
    if says_nothing(cell):
        return None
    text = cell.strip()
    value = number_of(text.replace(",", ".") if comma else text)
    return cell if isinstance(value, str) or not math.isfinite(value) else value
