"""All datasets and databases of one process; see ``datasets.base.Datasets``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepaas_core.datasets import indexing, queries
from deepaas_core.datasets.base import Rows
from deepaas_core.datasets.bundled import BundledRows
from deepaas_core.datasets.connections import Connections, Told
from deepaas_core.datasets.referenced import ReferencedRows
from deepaas_core.domain.dataset import Dataset
from deepaas_core.domain.sql_query import SqlQuery, Table


class OpenDatasets:
    """Implements ``datasets.base.Datasets``.

    Args:
        connections: What the settings say of them, by name.

    Raises:
        SettingsError: One of them cannot be used.
    """

    def __init__(self, connections: Mapping[str, Told]):
        self.connections: Collection[str] = connections.keys()
        self._connections = Connections(connections)

    async def index(
        self, dataset: Dataset, folder: Path, target: Path, columns: Sequence[str], keys: Sequence[Sequence[str]]
    ) -> None:
        await indexing.build_apart(dataset, folder / dataset.file, target, columns, keys)

    async def open_bundled(self, dataset: Dataset, index: Path) -> Rows:
        return BundledRows(dataset.name, index)

    async def open_referenced(self, dataset: Dataset) -> Rows:
        return await ReferencedRows.open(self._connections, dataset)

    async def query(self, query: SqlQuery, values: Mapping[str, Any]) -> Table:
        return await queries.run(self._connections, query, values)

    async def close(self) -> None:
        await self._connections.close()
