"""The use cases of endpoints that run no code: a lookup, which is an enrichment without a model, and a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.enrichment import Enriched, pointer_to
from deepaas_core.domain.service import Endpoint
from deepaas_core.domain.sql_query import SqlQuery, Table, for_database
from deepaas_core.serving.enricher import Enricher
from deepaas_core.serving.once import once_of_each
from deepaas_core.serving.services import Live


async def look_up(enricher: Enricher, live: Live, endpoint: Endpoint, rows: Sequence[Any]) -> Enriched:
    """Fetch what the datasets of a lookup have for each row.

    Returns:
        Of each row that is neither refused nor ignored, what was fetched.

    Raises:
        DeepaasError: See ``Enricher.enrich``.
    """
    names = {name: None for enrichment in endpoint.enrichments for name in enrichment.keys}
    wrong = {at: issues for at, row in enumerate(rows) if (issues := _issues(row, names))}
    enriched = await enricher.enrich(
        live.kept.generation, endpoint.enrichments, [{} if at in wrong else row for at, row in enumerate(rows)]
    )
    for at, issues in wrong.items():
        enriched.ignored.pop(at, None)
        enriched.leave_out(at, errors.InvalidInput(issues))
    fetched = endpoint.fetched
    enriched.records = [
        None if record is None else {name: record[name] for name in fetched} for record in enriched.records
    ]
    return enriched


def _issues(row: Any, names: Mapping[str, None]) -> list[errors.Issue]:
    if not isinstance(row, Mapping):
        return [errors.Issue("", "Must be an object.")]
    return [
        errors.Issue(pointer_to(name), f"Unknown key.{errors.did_you_mean(name, names)}")
        for name in row
        if name not in names
    ]


async def run_query(enricher: Enricher, endpoint: Endpoint, values: Mapping[str, Any]) -> Table:
    """Run the query of an ``sql`` endpoint.

    Args:
        enricher: Has the connections.
        endpoint: Whose query it is.
        values: What the caller gave, unchecked.

    Raises:
        InvalidInput: It does not fit.
        DeepaasError: See ``datasets.base.Datasets.query``.
    """
    query = _query_of(endpoint)
    return await enricher.datasets.query(query, for_database(query.parameters, query.parameters.load(values)))


@once_of_each(512)
def _query_of(endpoint: Endpoint) -> SqlQuery:
    return SqlQuery.from_options(endpoint.options)


def rows_of(enriched: Enriched, refused: Mapping[int, Any]) -> list[Any]:
    """The answers to the rows of a lookup.

    Args:
        enriched: What was fetched.
        refused: What stands in the place of the rows that were refused.
    """
    rows: list[Any] = list(enriched.records)
    for at, ignored in enriched.ignored.items():
        rows[at] = ignored.to_plain()
    for at, told in refused.items():
        rows[at] = told
    return rows


def table_of(endpoint: Endpoint, table: Table) -> dict[str, Any]:
    """The answer of a query."""
    if table.updated_rows is not None:
        return {"updated_rows": table.updated_rows}
    rows: Sequence[Any] = table.rows
    if endpoint.options.get("records", False):
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {"columns": list(table.columns), "rows": rows, **({"truncated": True} if table.truncated else {})}
