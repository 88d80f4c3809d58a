"""What the use cases need from a dataset and from a database that services refer to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from deepaas_core.domain.dataset import ColumnType, Dataset
from deepaas_core.domain.sql_query import SqlQuery, Table


class Rows(Protocol):
    """The rows of one dataset."""

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        """Their columns, and what each holds."""
        ...

    async def find(
        self, keys: Sequence[str], wanted: Sequence[Sequence[Any]], columns: Sequence[str]
    ) -> Sequence[Sequence[Sequence[Any]]]:
        """Look rows up.

        Args:
            keys: The columns that make the key.
            wanted: Keys, each with a value for each of these columns, as ``domain.dataset.key_value`` gives it.
            columns: What to fetch.

        Returns:
            For each key, the values of ``columns`` of the rows that have it, JSON-native; no more than
            ``enrichment.ENOUGH_ROWS`` rows.

        Raises:
            DeepaasError: They cannot be looked up right now.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Datasets(Protocol):
    """Opens datasets, and runs queries."""

    @property
    def connections(self) -> Collection[str]:
        """The names of the connections in the settings."""
        ...

    async def index(
        self, dataset: Dataset, folder: Path, target: Path, columns: Sequence[str], keys: Sequence[Sequence[str]]
    ) -> None:
        """Make the index of a bundled dataset; in place when this returns.

        Args:
            dataset: Whose file is in the folder.
            folder: Of the service.
            target: The index.
            columns: What is to be in it.
            keys: What will be searched by: each a set of columns.

        Raises:
            DatasetUnusable: The file cannot be used.
        """
        ...

    async def open_bundled(self, dataset: Dataset, index: Path) -> Rows:
        """Open an index.

        Raises:
            StoreUnavailable: It is not there, or cannot be read.
        """
        ...

    async def open_referenced(self, dataset: Dataset) -> Rows:
        """Open a table behind a connection.

        Raises:
            ConnectionUnavailable: The connection is not in the settings, or its database cannot be reached.
            DatasetUnusable: There is no such table.
        """
        ...

    async def query(self, query: SqlQuery, values: Mapping[str, Any]) -> Table:
        """Run a query.

        Args:
            query: What to run.
            values: Of its parameters, as ``sql_query.for_database`` gives them.

        Raises:
            ConnectionUnavailable: The connection is not in the settings, or its database cannot be reached.
            InvalidInput: The database cannot use the values.
            QueryConflict, QueryTimeout, QueryFailed: See there.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
