"""Connections to SQLite files that can be given up at any moment.

When a task is cancelled in the middle of a statement, SQLAlchemy closes its connection beside it; when it is cancelled
once more meanwhile, a second time, by force. aiosqlite 0.22 then waits for a thread that has ended: whoever waits for
all tasks, as ``asyncio.run`` does at the end, waits for ever.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from typing import Any
from weakref import WeakSet

import aiosqlite

#: Rows that are fetched at once where they are iterated over; aiosqlite's own number.
_ROWS = 64
_LOOK_EVERY_S = 0.005
#: A statement that nobody waits for any more is itself waited for no longer.
PATIENCE_S = 1.0


class Connection(aiosqlite.Connection):
    """A connection that can be stopped twice."""

    def __init__(self, database: str, **options: Any):
        super().__init__(partial(sqlite3.connect, database, **options), _ROWS)
        self._thread.daemon = True
        self._stopped = False

    def stop(self) -> asyncio.Future[Any] | None:
        """End its thread; gives nothing to wait for if that has been done."""
        if self._stopped:
            return None
        self._stopped = True
        return super().stop()

    @property
    def works(self) -> bool:
        """Whether its thread is there."""
        return self._thread.is_alive()


class Connections:
    """The connections of engines of SQLAlchemy's.

    Attributes:
        connect_args: To be given to an engine, so that it makes its connections here.
    """

    def __init__(self) -> None:
        self._made: WeakSet[Connection] = WeakSet()
        self.connect_args = {"async_creator_fn": self._make}

    def _make(self, database: str, **options: Any) -> Connection:
        connection = Connection(database, **options)
        self._made.add(connection)
        return connection

    async def end(self) -> None:
        """End, after the engines were disposed of, those that were given up, and with them what they were still doing.

        One that was lent at that moment comes back to a pool that nobody looks after.
        """
        await self._ended()
        for connection in self._made:
            connection.stop()
        await self._ended()

    async def _ended(self) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while any(connection.works for connection in self._made) and time.monotonic() < give_up:
            await asyncio.sleep(_LOOK_EVERY_S)
