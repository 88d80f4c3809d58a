"""Lookups in the index of a bundled dataset."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepaas_core.datasets.indexing import Contents
from deepaas_core.domain.dataset import ColumnType
from deepaas_core.domain.enrichment import ENOUGH_ROWS
from deepaas_core.errors import StoreUnavailable

#: So few lookups, of some ten microseconds each, cost less than to have a thread do them.
MAX_AT_ONCE = 8
_CACHE_KIB = 2048


class BundledRows:
    """The rows of an index; see ``datasets.base.Rows``."""

    def __init__(self, name: str, path: Path):
        self._name = name
        try:
            self._here, self._aside = _connect(path), _connect(path)
            contents = Contents.read(self._here)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise StoreUnavailable(f"The index of dataset {name!r} cannot be read: {error}.") from error
        self._lock = threading.Lock()
        self._places = contents.places
        self.columns = contents.types

    async def find(
        self, keys: Sequence[str], wanted: Sequence[Sequence[Any]], columns: Sequence[str]
    ) -> Sequence[Sequence[Sequence[Any]]]:
        fetched = ", ".join(self._places[column] for column in columns) or "1"
        conditions = " AND ".join(f"{self._places[column]} = ?" for column in keys)
        statement = f"SELECT {fetched} FROM rows WHERE {conditions} LIMIT {ENOUGH_ROWS}"
        try:
            if len(wanted) <= MAX_AT_ONCE:
                found = [self._here.execute(statement, key).fetchall() for key in wanted]
            else:
                found = await asyncio.to_thread(self._find_aside, statement, wanted)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"The index of dataset {self._name!r} cannot be read: {error}.") from error
        if not columns:
            return [[() for _ in rows] for rows in found]
        booleans = [at for at, column in enumerate(columns) if self.columns[column] is ColumnType.BOOLEAN]
        return [[_with_truth(row, booleans) for row in rows] for rows in found] if booleans else found

    def _find_aside(self, statement: str, wanted: Sequence[Sequence[Any]]) -> list[list[Sequence[Any]]]:
        with self._lock:
            return [self._aside.execute(statement, key).fetchall() for key in wanted]

    async def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._here.close()
        self._aside.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            self._close()


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that nobody ever changes; the system is told to have it at hand."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(AttributeError, OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False, isolation_level=None
    )
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    return connection


def _with_truth(row: Sequence[Any], booleans: Sequence[int]) -> Sequence[Any]:
    values = list(row)
    for at in booleans:
        values[at] = None if values[at] is None else bool(values[at])
    return values
