"""The indexes of the datasets that travel in generations: made once for a content, wherever it is needed."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path

from deepaas_core import errors
from deepaas_core.datasets.base import Datasets, Rows
from deepaas_core.domain.dataset import ColumnType, Dataset, no_column
from deepaas_core.domain.deployment import Generation
from deepaas_core.domain.service import FeatureType
from deepaas_core.publishing.archive import Archives

log = logging.getLogger(__name__)

_A = {FeatureType.NUMBER: "a number", FeatureType.INTEGER: "an integer"}
_NO_NUMBERS = frozenset({ColumnType.TEXT, ColumnType.DATE, ColumnType.DATETIME})


class Indexes:
    """Makes indexes.

    Args:
        datasets: Knows how.
        archives: Have the files, and a place for what is made from them.
    """

    def __init__(self, datasets: Datasets, archives: Archives):
        self._datasets, self._archives = datasets, archives
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, generation: Generation) -> None:
        """See to it that every bundled dataset of a generation has its index here.

        Raises:
            DatasetUnusable: A file cannot be used.
            ArchiveRefused, OSError: The archive cannot be unpacked.
        """
        bundled = [dataset for dataset in generation.definition.datasets.values() if dataset.bundled]
        if not bundled:
            return
        digest = generation.digest
        async with self._locks[digest]:
            for dataset in bundled:
                target = self._archives.index(digest, dataset.name)
                columns, keys = generation.definition.needed_of(dataset.name)
                if not columns or await asyncio.to_thread(target.exists):
                    continue
                folder = await asyncio.to_thread(self._archives.folder, digest)
                await asyncio.to_thread(target.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
                await self._datasets.index(dataset, folder, target, columns, keys)

    def check_connections(self, generation: Generation) -> None:
        """See to it that this server's settings have what a generation refers to.

        Raises:
            GenerationFailed: They have no connection of a name that it uses.
        """
        definition = generation.definition
        names = [dataset.connection for dataset in definition.datasets.values() if not dataset.bundled]
        names += [each.options["connection"] for each in definition.endpoints.values() if "connection" in each.options]
        for name in names:
            if name not in self._datasets.connections:
                raise errors.GenerationFailed(f"This server's settings have no connection {name!r}.")

    async def check_files(self, generation: Generation) -> None:
        """See to it that what is fetched from bundled datasets fits the inputs that it becomes.

        Raises:
            DatasetUnusable: It does not.
        """
        for dataset in generation.definition.datasets.values():
            if dataset.bundled and generation.definition.needed_of(dataset.name)[0]:
                opening = self._datasets.open_bundled(dataset, self.path(generation.digest, dataset.name))
                await _check(generation, dataset, opening)

    async def check_tables(self, generation: Generation) -> None:
        """The same of referenced datasets, and that they are there, as far as that can be seen right now.

        Raises:
            DatasetUnusable: They are not there, or do not fit.
        """
        for dataset in generation.definition.datasets.values():
            if not dataset.bundled and generation.definition.needed_of(dataset.name)[0]:
                try:
                    await _check(generation, dataset, self._datasets.open_referenced(dataset))
                except (errors.Unavailable, errors.QueryTimeout) as error:
                    log.warning("dataset cannot be looked at", extra={"dataset": dataset.name, "reason": str(error)})

    def path(self, digest: str, dataset: str) -> Path:
        """Where an index is, or would be."""
        return self._archives.derived(digest) / f"{dataset}.index"


async def _check(generation: Generation, dataset: Dataset, opening: Awaitable[Rows]) -> None:
    rows = await opening
    columns = dict(rows.columns)
    await rows.close()
    for endpoint in generation.definition.endpoints.values():
        inputs = {feature.name: feature.type for feature in endpoint.inputs}
        for enrichment in endpoint.enrichments:
            if enrichment.dataset != dataset.name:
                continue
            for column in enrichment.used:
                if column not in columns:
                    raise errors.DatasetUnusable(dataset.name, f"It {no_column(column, columns)}")
            for name, column in enrichment.columns.items():
                wanted = inputs.get(name)
                if wanted in (FeatureType.NUMBER, FeatureType.INTEGER) and columns[column] in _NO_NUMBERS:
                    said = f"Column {column!r} holds {columns[column]}, but is the input {name!r} of {endpoint.name!r}"
                    raise errors.DatasetUnusable(dataset.name, f"{said}, which is {_A[wanted]}.")
