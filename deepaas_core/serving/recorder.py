"""Writes the prediction log: answers only leave a note in memory, and a few times a second the notes become entries.

A note costs an answer some microseconds. While the log cannot be written, notes wait, up to a bound; what is more is
dropped, counted and told in the process log. A stop writes what waits. What ends the process at once, as ``kill -9``
does, loses the notes of the last moment, unless the rules say that answers wait for their entry.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any

from deepaas_core.domain.prediction_log import LogEntry, LogMode, LogRules, folded
from deepaas_core.errors import StoreUnavailable
from deepaas_core.serving.reviewer import Reviewer
from deepaas_core.serving.transcript import Seen, entry_of
from deepaas_core.settings import PredictionLog
from deepaas_core.stores.base import PredictionStore
from deepaas_core.telemetry.metrics import Counts

log = logging.getLogger(__name__)

#: Entries that are written in one go.
AT_ONCE = 1000
RETRY_MIN_S, RETRY_MAX_S = 0.25, 5.0
#: How long those who bring very many entries wait for room, at most.
ROOM_TIMEOUT_S = 5.0
TIDY_EVERY_S = 600.0
_OVERHEAD_BYTES = 1000
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Recorder:
    """Keeps the prediction log of one process.

    Args:
        store: Where entries go.
        settings: What is kept of what, and how much may wait.
        counts: Where it is counted what became of the entries.

    Attributes:
        store, reviewer: For those who read the log.
    """

    def __init__(self, store: PredictionStore, settings: PredictionLog, counts: Counts):
        self.store = store
        self.reviewer = Reviewer(store)
        self._settings = settings
        self._counts = counts
        self._rules: dict[tuple[str, str], tuple[Mapping[str, Any], LogRules | None]] = {}
        self._waiting: deque[tuple[Seen, asyncio.Future[None] | None]] = deque()
        self._size = 0
        self._some, self._urgent, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._room.set()
        self._away_since: float | None = None
        self._dropped = 0
        self._writing: asyncio.Task[None] | None = None
        self._closing = False

    def rules(self, name: str, version: str = "", said: Mapping[str, Any] = _NOTHING) -> LogRules | None:
        """What is to be kept of the predictions of a model or service; None for nothing.

        Args:
            name: Its name.
            version: Of a generation, whose author may have said something of its log.
            said: What that is; see ``LogRules.over``.
        """
        key = (name, version)
        known = self._rules.get(key)
        if known is None or (known[0] is not said and known[0] != said):
            known = self._rules[key] = said, self._settled(name, said)
        return known[1]

    def _settled(self, name: str, said: Mapping[str, Any]) -> LogRules | None:
        settings = self._settings
        applies = not settings.only or name in settings.only
        rules = LogRules(
            mode=LogMode(settings.log) if applies and settings.log != "never" else LogMode.OFF,
            sample=settings.sample,
            redact=folded(settings.redact),
            inputs=settings.inputs,
            outputs=settings.outputs,
            max_bytes=settings.max_entry_kb * 1024,
            durable=settings.durable,
        ).over(said)
        return None if rules.mode is LogMode.OFF or settings.log == "never" else rules

    @staticmethod
    def chooses(rules: LogRules) -> bool:
        """Whether one more prediction is to be kept."""
        return rules.mode is LogMode.FULL or random.random() < rules.sample

    def note(self, seen: Seen) -> asyncio.Future[None] | None:
        """Leave a note of one answered request.

        Returns:
            If the rules say that the answer is to wait: what to wait for. It raises ``StoreUnavailable`` if the entry
            could not be written.
        """
        settings, size = self._settings, seen.size + _OVERHEAD_BYTES
        kept = asyncio.get_running_loop().create_future() if seen.rules.durable else None
        if len(self._waiting) >= settings.max_waiting or self._size + size > settings.max_waiting_mb * 2**20:
            self._drop(1)
            if kept is not None:
                kept.set_exception(_unavailable())
            return kept
        self._waiting.append((seen, kept))
        self._size += size
        if kept is not None or len(self._waiting) >= AT_ONCE:
            self._urgent.set()
        if len(self._waiting) == 1:
            self._some.set()
            if self._writing is None:
                self._writing = asyncio.create_task(self._write())
        return kept

    async def room(self) -> None:
        """Wait, for a while at most, until some hundreds of entries will surely not be too many."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                while self._is_half_full and self._away_since is None:
                    self._room.clear()
                    await self._room.wait()

    @property
    def _is_half_full(self) -> bool:
        settings = self._settings
        return 2 * len(self._waiting) >= settings.max_waiting or self._size >= settings.max_waiting_mb * 2**19

    async def written(self) -> None:
        """Wait, for a moment at most, until what has been noted so far is in the log."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                while self._waiting and self._away_since is None:
                    self._urgent.set()
                    await asyncio.sleep(0.005)

    async def close(self, within_s: float) -> None:
        """Write what waits, for so long at most; what cannot be written by then is lost, and told."""
        self._closing = True
        self._some.set()
        self._urgent.set()
        if self._writing is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._writing
        left = len(self._waiting)
        if left:
            self._drop(left)
            log.error("prediction log not written to its end", extra={"dropped": left})
        await self.store.close()

    async def _write(self) -> None:
        """Write what waits, again and again, until it is time to leave."""
        while True:
            await self._some.wait()
            if not self._closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.write_every_ms / 1000):
                        await self._urgent.wait()
            self._urgent.clear()
            while self._waiting:
                await self._write_some()
            self._some.clear()
            if self._closing:
                return

    async def _write_some(self) -> None:
        batch = list(islice(self._waiting, AT_ONCE))
        entries = await asyncio.to_thread(_entries, [seen for seen, _ in batch])
        pause_s = RETRY_MIN_S
        while True:
            try:
                await self.store.add(entries)
                break
            except StoreUnavailable as error:
                self._is_away(error)
                self._refuse(batch)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
            except Exception:  # one that cannot be stored must not keep all others from it
                log.exception("entries of the prediction log cannot be stored")
                self._refuse(batch)
                entries = []
                break
        self._counts.entry("written", len(entries))
        self._counts.entry("dropped", len(batch) - len(entries))
        self._is_back()
        for seen, kept in batch:
            self._waiting.popleft()
            self._size -= seen.size + _OVERHEAD_BYTES
            if kept is not None and not kept.done():
                kept.set_result(None)
        self._room.set()

    def _is_away(self, error: StoreUnavailable) -> None:
        self._room.set()
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.error("prediction log cannot be written; entries wait", extra={"reason": str(error)})

    def _is_back(self) -> None:
        if self._away_since is not None or self._dropped:
            seconds = 0.0 if self._away_since is None else time.monotonic() - self._away_since
            log.warning(
                "prediction log is written again", extra={"away_s": round(seconds, 1), "dropped": self._dropped}
            )
            self._away_since, self._dropped = None, 0

    def _refuse(self, batch: Sequence[tuple[Seen, asyncio.Future[None] | None]]) -> None:
        """Tell those who wait for their entries that they are not written; they may be later all the same."""
        for _, kept in batch:
            if kept is not None and not kept.done():
                kept.set_exception(_unavailable())

    def _drop(self, number: int) -> None:
        if not self._dropped:
            log.error("prediction log drops entries; too many wait")
        self._dropped += number
        self._counts.entry("dropped", number)

    async def tidy(self) -> None:
        """Delete what need not be kept any longer, from now on."""
        settings = self._settings
        if settings.days is None and settings.count is None:
            return
        while True:
            until = None if settings.days is None else datetime.now(UTC) - timedelta(days=settings.days)
            try:
                while await self.store.trim(until, settings.count):
                    await asyncio.sleep(0.02)  # others want to write, too
            except StoreUnavailable as error:
                log.warning("prediction log cannot be tidied up", extra={"reason": str(error)})
            except Exception:
                log.exception("prediction log cannot be tidied up")
            await asyncio.sleep(TIDY_EVERY_S)


def _entries(batch: Sequence[Seen]) -> list[LogEntry]:
    entries = []
    for seen in batch:
        try:
            entries.append(entry_of(seen))
        except Exception:
            log.exception("an entry of the prediction log cannot be made", extra={"request": seen.request})
    return entries


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The prediction log cannot be written right now, and this answer may not go without it.")
