"""What runs leave behind to be read: the events they tell, and the files they keep.

``events.ndjson`` is only ever appended to, so a place in it is a number that stays good for ever: whoever knows up to
where he has read goes on from there, after a restart as well. The model could have written anything there; what is not
one of our lines is passed over.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import orjson

from deepaas_core.domain.reports import Event, Said

#: How much of a file is read in one go; a line longer than this is passed over.
PIECE_BYTES = 2**20
#: Of so many runs it is remembered how far they were read.
REMEMBERED = 256
KINDS = frozenset({"metrics", "progress", "artifact"})
#: Reports with yet other sets of names are thinned out together.
MAX_SETS = 32
_TOGETHER = 50

_Place = tuple[int, int]


@dataclass(frozen=True)
class KeptFile:
    """A file that a run keeps.

    Attributes:
        name: Its path below the run's artifacts, with slashes.
        modified_at: None if that is no time that we could name.
    """

    name: str
    size_bytes: int
    modified_at: datetime | None


@dataclass
class _Heard:
    """How far a run's events were read, and what they said up to there."""

    offset: int = 0
    said: Said = field(default_factory=Said)
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Thinned:
    """At most so many of all that is added, evenly, and the last one."""

    def __init__(self, most: int):
        self._kept: list[_Place] = []
        self._last: _Place = (0, 0)
        self._most = most
        self._every = 1
        self._added = 0

    def add(self, place: _Place) -> None:
        if self._added % self._every == 0:
            if len(self._kept) == self._most:
                self._kept = self._kept[::2]
                self._every *= 2
            if self._added % self._every == 0:
                self._kept.append(place)
        self._added += 1
        self._last = place

    def places(self) -> set[_Place]:
        return {*self._kept, self._last}


class Reports:
    """Reads what runs tell and keep.

    Args:
        root: The folder that holds the runs' folders.
    """

    def __init__(self, root: Path):
        self._root = root
        self._heard: OrderedDict[str, _Heard] = OrderedDict()

    async def said(self, run_id: str) -> Said:
        """The sum of what a run has told so far; only what is new since the last time is read."""
        heard = self._heard.setdefault(run_id, _Heard())
        self._heard.move_to_end(run_id)
        while len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)
        return await asyncio.to_thread(self._listen, run_id, heard)

    def _listen(self, run_id: str, heard: _Heard) -> Said:
        with heard.lock:
            while True:
                events, offset = self._read(run_id, heard.offset)
                if offset == heard.offset:
                    return heard.said
                heard.said = heard.said.hear(*events)
                heard.offset = offset

    async def events(self, run_id: str, start: int) -> tuple[Sequence[Event], int]:
        """Some of a run's events, from a place in its file on.

        Returns:
            The events, and where to go on; that is ``start`` when there is nothing more at the moment.
        """
        return await asyncio.to_thread(self._read, run_id, start)

    def _read(self, run_id: str, start: int) -> tuple[Sequence[Event], int]:
        lines, following = self._lines(run_id, start)
        events = (_event(line, end) for line, end in lines)
        return [event for event in events if event is not None], following

    async def sample(self, run_id: str, points: int, start: int = 0) -> AsyncIterator[Sequence[Event]]:
        """A run's reports of metrics, evenly thinned out, those of each set of names by themselves.

        Args:
            run_id: The run.
            points: So many at most, at least half as many if there are, and the last, for each set of names.
            start: Leave out what is before this place in its file.
        """
        places = [place for place in await asyncio.to_thread(self._places, run_id, points) if place[0] >= start]
        for first in range(0, len(places), _TOGETHER):
            yield await asyncio.to_thread(self._at, run_id, places[first : first + _TOGETHER])

    def _places(self, run_id: str, points: int) -> Sequence[_Place]:
        kept: dict[tuple[str, ...], _Thinned] = {}
        start = -1
        following = 0
        while following != start:
            start = following
            lines, following = self._lines(run_id, start)
            for line, end in lines:
                names = _names(line)
                if names is not None:
                    names = names if names in kept or len(kept) < MAX_SETS else ()
                    kept.setdefault(names, _Thinned(points)).add((end - len(line) - 1, end))
        return sorted(place for thinned in kept.values() for place in thinned.places())

    def _at(self, run_id: str, places: Sequence[_Place]) -> Sequence[Event]:
        with open_plain(self._root / run_id / "events.ndjson") as file:
            lines = [(_line(file, *place), place[1]) for place in places]
        events = (_event(line, end) for line, end in lines)
        return [event for event in events if event is not None]

    def _lines(self, run_id: str, start: int) -> tuple[Iterator[tuple[bytes, int]], int]:
        """The lines of a piece of the run's file, each with the place where it ends; and where to go on."""
        try:
            with open_plain(self._root / run_id / "events.ndjson") as file:
                file.seek(start)
                piece = file.read(PIECE_BYTES)
        except (FileNotFoundError, OverflowError):
            return iter(()), start
        whole = piece.rfind(b"\n") + 1
        if not whole:
            return iter(()), start + (len(piece) if len(piece) == PIECE_BYTES else 0)
        lines = piece[:whole].split(b"\n")[:-1]
        ends = accumulate(len(line) + 1 for line in lines)
        return ((line, start + end) for line, end in zip(lines, ends, strict=True)), start + whole

    async def artifacts(self, run_id: str) -> Sequence[KeptFile]:
        """The files that a run keeps, by name."""
        return await asyncio.to_thread(self._artifacts, run_id)

    def _artifacts(self, run_id: str) -> Sequence[KeptFile]:
        top, found = self._root / run_id / "artifacts", []
        if top.is_symlink():
            return ()
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                try:
                    told = path.lstat()
                except OSError:  # it has gone since
                    continue
                if not stat.S_ISREG(told.st_mode):
                    continue
                found.append(KeptFile(path.relative_to(top).as_posix(), told.st_size, _time(told.st_mtime)))
        return sorted(found, key=lambda kept: kept.name)

    async def artifact(self, run_id: str, name: str) -> Path | None:
        """Where a file that a run keeps lies; None if it keeps none of this name, whatever the name leads to."""
        return await asyncio.to_thread(self._artifact, run_id, name)

    def _artifact(self, run_id: str, name: str) -> Path | None:
        top = (self._root / run_id).resolve() / "artifacts"
        try:
            path = top / name
            return path if "\0" not in name and path.resolve() == path and path.is_file() and path != top else None
        except (OSError, ValueError):  # longer than any file's name
            return None


def open_plain(path: Path) -> BinaryIO:
    """Open a file that the model could have put something else in place of, which would lead away or never end.

    Raises:
        FileNotFoundError: It is not there, or is not a plain file.
    """
    try:
        file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115
    except OSError as error:
        raise FileNotFoundError(error.errno, "There is no such plain file", str(path)) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(f"{path} is no plain file")
    return file


def _names(line: bytes) -> tuple[str, ...] | None:
    """What a line of metrics measures; None if it is something else."""
    try:
        document = orjson.loads(line)
        return tuple(document["values"]) if document["event"] == "metrics" else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _line(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _event(line: bytes, end: int) -> Event | None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, Mapping) or document.get("event") not in KINDS:
        return None
    values = document.get("values")
    return Event(end, document["event"], _time(document.get("at")), values if isinstance(values, Mapping) else {})


def _time(at: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None
    except (ValueError, OverflowError, OSError):
        return None
