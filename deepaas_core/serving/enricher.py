"""The use case of enrichment: what datasets know of records joins them before a model sees them.

A lookup is the same step without a model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepaas_core import errors
from deepaas_core.datasets.base import Datasets, Rows
from deepaas_core.domain.dataset import Dataset, no_column
from deepaas_core.domain.deployment import Generation
from deepaas_core.domain.enrichment import Enriched, Enrichment, Trouble

#: Where the index of a generation's dataset is, by its digest and the dataset's name.
IndexOf = Callable[[str, str], Path]
_Place = tuple[str, str]


class Enricher:
    """Enriches records. A dataset is opened once, however many enrichments use it.

    Args:
        datasets: Opens them.
        index_of: See ``IndexOf``.
    """

    def __init__(self, datasets: Datasets, index_of: IndexOf):
        self.datasets = datasets
        self._index_of = index_of
        self._open: dict[_Place, asyncio.Task[Rows]] = {}

    async def enrich(
        self, generation: Generation, enrichments: Sequence[Enrichment], records: Sequence[Mapping[str, Any]]
    ) -> Enriched:
        """Fetch what there is for each record; all of them are looked up together.

        Raises:
            ConnectionUnavailable, StoreUnavailable, QueryTimeout, QueryFailed: A dataset cannot be searched right now.
        """
        enriched = Enriched.of(records)
        for enrichment in enrichments:
            await self._join(generation, enrichment, enriched)
        return enriched

    async def close(self) -> None:
        """Close all that is open."""
        for place in list(self._open):
            await self._close(place)
        await self.datasets.close()

    def keep_only(self, digests: Collection[str]) -> None:
        """Let go of the datasets of contents that are there no more; who still searches them finishes."""
        for place in [place for place in self._open if place[0] and place[0] not in digests]:
            del self._open[place]

    async def _join(self, generation: Generation, enrichment: Enrichment, enriched: Enriched) -> None:
        dataset = generation.definition.datasets[enrichment.dataset]
        place = _place_of(generation, dataset)
        rows = await self._rows(place, dataset)
        _check_columns(dataset, enrichment, rows)
        wanted: dict[int, tuple[Any, ...]] = {}
        for at, record in enumerate(enriched.records):
            if record is None:
                continue
            try:
                key = enrichment.key_of(record, rows.columns)
            except errors.InvalidInput as unfit:
                enriched.leave_out(at, unfit)
                continue
            if key is None:
                enriched.leave_out(at, enrichment.verdict(Trouble.KEY_MISSING, record))
            else:
                wanted[at] = key
        if not wanted:
            return
        try:
            found = await rows.find(
                list(enrichment.keys.values()), list(wanted.values()), list(enrichment.columns.values())
            )
        except errors.QueryFailed:
            self._open.pop(place, None)  # the table may have changed; its columns are asked for anew
            raise
        for at, matches in zip(wanted, found, strict=True):
            enriched.join(at, enrichment, matches)

    async def _rows(self, place: _Place, dataset: Dataset) -> Rows:
        opening = self._open.get(place)
        if opening is None:
            opening = self._open[place] = asyncio.ensure_future(self._opened(place, dataset))
        try:
            return await asyncio.shield(opening)
        except errors.DeepaasError:
            if self._open.get(place) is opening:
                del self._open[place]
            raise

    async def _opened(self, place: _Place, dataset: Dataset) -> Rows:
        if dataset.bundled:
            return await self.datasets.open_bundled(dataset, self._index_of(place[0], dataset.name))
        try:
            return await self.datasets.open_referenced(dataset)
        except errors.DatasetUnusable as error:
            raise errors.QueryFailed(dataset.connection, str(error)) from error

    async def _close(self, place: _Place) -> None:
        with suppress(errors.DeepaasError):
            await (await self._open.pop(place)).close()


def _place_of(generation: Generation, dataset: Dataset) -> _Place:
    """What makes two datasets the same."""
    if dataset.bundled:
        return generation.digest, dataset.name
    return "", f"{dataset.connection}\0{dataset.table}"


def _check_columns(dataset: Dataset, enrichment: Enrichment, rows: Rows) -> None:
    """See to it that a table has what the service's author thought.

    Raises:
        QueryFailed: It lacks a column.
    """
    for column in enrichment.used:
        if column not in rows.columns:
            text = f"Table {dataset.table!r} {no_column(column, rows.columns)}"
            raise errors.QueryFailed(dataset.connection, text)
