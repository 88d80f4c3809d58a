"""The index of a bundled dataset: one SQLite file with the columns that are needed, and an index for each key.

It is made once, when a generation is, by a process of its own, since reading millions of rows would hold up everybody's
requests. It needs nothing but a disk: a lookup reads the few pages that it touches, and processes that look things up
share them through the system's cache.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepaas_core.datasets.reading import open_file
from deepaas_core.domain.dataset import ColumnType, Dataset, no_column
from deepaas_core.errors import DatasetUnusable

#: Grows when an older program could not read what a newer one wrote, or the other way round.
FORMAT = 1
_NICENESS = 10


@dataclass(frozen=True)
class Contents:
    """What an index has.

    Attributes:
        places: The column of the table that a column of the dataset is.
        types: What they are.
        rows: How many there are.
    """

    places: Mapping[str, str]
    types: Mapping[str, ColumnType]
    rows: int

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Contents:
        """What the index at the other end of a connection has.

        Raises:
            sqlite3.Error: It is no index.
        """
        [(text,)] = connection.execute("SELECT text FROM contents")
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise sqlite3.DatabaseError(f"it has the format {told['format']}")
        types = {name: ColumnType(kind) for name, (_, kind) in told["columns"].items()}
        return cls({name: place for name, (place, _) in told["columns"].items()}, types, told["rows"])


def build(
    dataset: Dataset, path: Path, target: Path, columns: Sequence[str], keys: Sequence[Sequence[str]]
) -> Contents:
    """Make an index; it is on disk, under its name, when this returns.

    Args:
        dataset: Its name and the types of its columns.
        path: Its file.
        target: The index.
        columns: What is to be in it.
        keys: What will be searched by: each a set of columns.

    Raises:
        DatasetUnusable: The file cannot be read, or lacks a column.
        OSError, sqlite3.Error: The index cannot be written.
    """
    file = open_file(dataset.name, path, dataset.types)
    for column in columns:
        if column not in file.columns:
            raise DatasetUnusable(dataset.name, f"{path.name} {no_column(column, file.columns)}")
    places = {column: f"c{at}" for at, column in enumerate(columns)}
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as connection:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-65536"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            connection.execute(f"CREATE TABLE rows ({', '.join(places.values())})")
            insert = f"INSERT INTO rows VALUES ({', '.join('?' * len(places))})"
            rows = 0
            for batch in file.batches(columns):
                try:
                    connection.executemany(insert, zip(*batch, strict=True))
                except OverflowError:
                    raise DatasetUnusable(dataset.name, "It has whole numbers of more than 64 bits.") from None
                rows += len(batch[0])
            for number, key in enumerate(sorted({tuple(sorted(key)) for key in keys})):
                on = ", ".join(places[column] for column in key)
                connection.execute(f"CREATE INDEX key{number} ON rows ({on})")
            told = {column: [place, file.columns[column]] for column, place in places.items()}
            connection.execute("CREATE TABLE contents (text)")
            text = json.dumps({"format": FORMAT, "columns": told, "rows": rows})
            connection.execute("INSERT INTO contents VALUES (?)", (text,))
            connection.execute("COMMIT")
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return Contents(places, {column: file.columns[column] for column in columns}, rows)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def build_apart(
    dataset: Dataset, path: Path, target: Path, columns: Sequence[str], keys: Sequence[Sequence[str]]
) -> None:
    """As ``build``, by another process, which ends if nobody waits for it any more.

    Raises:
        DatasetUnusable: The file cannot be used, or its index cannot be written.
    """
    order = {
        "name": dataset.name,
        "types": dataset.types,
        "path": str(path),
        "target": str(target),
        "columns": list(columns),
        "keys": [list(key) for key in keys],
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deepaas_core.datasets.indexing"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await process.communicate(json.dumps(order).encode())
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        target.with_name(f".{target.name}.{process.pid}.part").unlink(missing_ok=True)
        raise
    answer: Mapping[str, Any] = json.loads(said) if said else {"refused": "The process that reads it has died."}
    if "refused" in answer:
        raise DatasetUnusable(dataset.name, answer["refused"])


def main() -> None:
    """Make the index that the standard input asks for, and say what became of it."""
    os.nice(_NICENESS)
    gc.disable()  # millions of rows come and go, and none of them refers to itself
    order = json.load(sys.stdin)
    types = {name: ColumnType(kind) for name, kind in order["types"].items()}
    dataset = Dataset(order["name"], types=types)
    try:
        build(dataset, Path(order["path"]), Path(order["target"]), order["columns"], order["keys"])
        answer: dict[str, Any] = {}
    except DatasetUnusable as error:
        answer = {"refused": error.reason}
    except (OSError, sqlite3.Error) as error:
        answer = {"refused": f"Its index cannot be written: {error}."}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
