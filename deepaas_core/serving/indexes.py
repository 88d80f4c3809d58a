"""The indexes of the datasets that travel in generations: made once for a content, wherever it is needed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from deepaas_core import errors
from deepaas_core.datasets.base import Datasets
from deepaas_core.domain.deployment import Generation
from deepaas_core.publishing.archive import Archives


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

    def path(self, digest: str, dataset: str) -> Path:
        """Where an index is, or would be."""
        return self._archives.derived(digest) / f"{dataset}.index"
