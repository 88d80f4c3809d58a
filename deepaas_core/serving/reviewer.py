"""Looks back on what was predicted: the log itself, and what many entries come down to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from deepaas_core.domain.prediction_log import LogEntry, Statistics, Wanted
from deepaas_core.domain.quality import Classified, Estimated, Quality
from deepaas_core.stores.base import PredictionStore

#: Entries that are read in one go.
PAGE = 1000


@dataclass(frozen=True)
class Compared:
    """How good predictions were; see ``domain.quality``."""

    classified: Classified | None = None
    estimated: Estimated | None = None


@dataclass(frozen=True)
class Review:
    """What was predicted, and how good that was.

    Attributes:
        quality: Of all together.
        by_generation: Of each generation that has labels.
    """

    statistics: Statistics
    quality: Compared = Compared()
    by_generation: Mapping[str, Compared] = field(default_factory=dict)


class Reviewer:
    """Looks at what was predicted; who wants the same as somebody else at the same moment shares the look.

    Args:
        store: The log.
    """

    def __init__(self, store: PredictionStore):
        self._store = store
        self._under_way: dict[Wanted, asyncio.Task[Review]] = {}

    async def review(self, wanted: Wanted) -> Review:
        """See ``review``."""
        task = self._under_way.get(wanted)
        if task is None:
            task = self._under_way[wanted] = asyncio.create_task(review(self._store, wanted))
            task.add_done_callback(partial(self._ended, wanted))
        return await asyncio.shield(task)

    def _ended(self, wanted: Wanted, task: asyncio.Task[Review]) -> None:
        del self._under_way[wanted]
        if not task.cancelled():
            task.exception()  # perhaps nobody is there any more to be told


async def entries(
    store: PredictionStore, wanted: Wanted, before: str | None = None, *, texts: bool = True
) -> AsyncIterator[Sequence[LogEntry]]:
    """All entries that are wanted, newest first, some hundreds at a time, however many there are."""
    while True:
        page = await store.find(wanted, PAGE, before, texts=texts)
        if page:
            yield page
        if len(page) < PAGE:
            return
        before = page[-1].id


async def review(store: PredictionStore, wanted: Wanted) -> Review:
    """Look at everything that is wanted, and compare what has a label with it."""
    statistics = await store.statistics(wanted)
    if not statistics.labelled:
        return Review(statistics)
    together, by_generation = Quality(), dict[str, Quality]()
    async for page in entries(store, replace(wanted, labelled=True), texts=False):
        for entry in page:
            together.add(entry)
            by_generation.setdefault(entry.generation, Quality()).add(entry)
    compared = {name: await asyncio.to_thread(_compared, each) for name, each in by_generation.items()}
    return Review(statistics, await asyncio.to_thread(_compared, together), compared)


def _compared(quality: Quality) -> Compared:
    return Compared(quality.classified(), quality.estimated())
