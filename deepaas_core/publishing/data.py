"""What a ``service.toml`` says of data: datasets, the enrichments that fetch from them, and queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.dataset import ColumnType, Dataset
from deepaas_core.domain.enrichment import Enrichment, Reaction
from deepaas_core.domain.sql_query import PARAMETER_KINDS, SqlQuery
from deepaas_core.errors import InvalidInput, did_you_mean

#: Where, below the table that is looked at, and a sentence.
Complaint = tuple[tuple[str | int, ...], str]

_COLUMN_TYPES = [str(kind) for kind in ColumnType if kind is not ColumnType.OTHER]
_NAME = {"type": "string", "minLength": 1}
#: Names of a row, each of them a column of a table: a list, or under other names.
NAMES = {
    "anyOf": [
        {"type": "array", "items": _NAME, "minItems": 1, "uniqueItems": True},
        {
            "type": "object",
            "additionalProperties": _NAME,
            "minProperties": 1,
            "description": "Names of a row, each with the column that it is.",
        },
    ],
    "x-expected": 'a list of columns, or a table `{ name = "column" }`',
}
_REACTION = {"enum": [str(reaction) for reaction in Reaction], "default": str(Reaction.ERROR)}


def _table(description: str, members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": members,
        "additionalProperties": False,
        **more,
    }


def _reaction(what: str) -> dict[str, Any]:
    return {**_REACTION, "description": f"What becomes of a row {what}: an error, or it is left out with a reason."}


#: What the schema of the whole file refers to.
DEFINITIONS: dict[str, Any] = {
    "dataset": _table(
        "A dataset: a file of this folder, or a table behind a connection.",
        {
            "file": {**_NAME, "description": "A CSV or Parquet file of this folder; it travels with the service."},
            "types": {
                "type": "object",
                "additionalProperties": {"enum": _COLUMN_TYPES},
                "description": "Of the file's columns, where their values would be taken for something else.",
            },
            "connection": {**_NAME, "description": "A connection of the settings of the server."},
            "table": {**_NAME, "description": "A table or view behind it, e.g. `cards` or `public.cards`."},
        },
    ),
    "enrichment": _table(
        "What is fetched from a dataset for each row.",
        {
            "dataset": {**_NAME, "description": "Its name."},
            "keys": {**NAMES, "description": "The columns that make the key; as a table, under other names."},
            "columns": {**NAMES, "description": "The columns to fetch; as a table, under other names."},
            "on_missing_key": _reaction("without the key"),
            "on_no_match": _reaction("whose key is not in the dataset"),
            "on_several_matches": _reaction("whose key is there more than once"),
            "return_enriched": {
                "type": "boolean",
                "default": False,
                "description": "Show what was fetched in the answer, as `enriched`.",
            },
        },
        required=["dataset", "keys", "columns"],
    ),
    "parameter": _table(
        "A parameter of a query.",
        {
            "type": {"enum": list(PARAMETER_KINDS), "default": "text", "description": "What its value is."},
            "required": {"type": "boolean", "description": "Whether it must be given; true without a default."},
            "default": {"description": "Taken where a request has none."},
            "help": {"type": "string", "description": "What it means, for the documentation."},
        },
    ),
}
DATASETS = {
    "type": "object",
    "additionalProperties": {"$ref": "#/$defs/dataset"},
    "description": "Datasets that its endpoints fetch from, by name.",
}
ENRICHMENTS = {
    "type": "array",
    "items": {"$ref": "#/$defs/enrichment"},
    "minItems": 1,
    "description": "What is fetched for each row before the model sees it, one after the other.",
}
#: What lookups and queries may have beside ``kind``, ``help`` and ``bare``.
LOOKUP = {"enrichments": {**ENRICHMENTS, "description": "What is fetched for each row, one after the other."}}
SQL = {
    "connection": {**_NAME, "description": "A connection of the settings of the server."},
    "query": {
        **_NAME,
        "description": "SQL with `:name`, or `?`, where a parameter goes; several statements are separated by `;`.",
    },
    "parameters": {
        "type": "object",
        "additionalProperties": {
            "anyOf": [{"enum": list(PARAMETER_KINDS)}, {"$ref": "#/$defs/parameter"}],
            "x-expected": "a type (" + ", ".join(PARAMETER_KINDS) + ") or a table that describes it",
        },
        "description": "What callers give, by name; in the order of the `?`.",
    },
    "read_only": {"type": "boolean", "default": True, "description": "The database refuses any change."},
    "records": {
        "type": "boolean",
        "default": False,
        "description": "Give each row as an object by column, not as a list.",
    },
    "max_rows": {
        "type": "integer",
        "minimum": 1,
        "maximum": 100_000,
        "default": 1000,
        "description": "The most rows that are answered.",
    },
    "timeout_s": {
        "type": "number",
        "minimum": 0.01,
        "default": 10,
        "description": "Seconds that the query may take; the server's settings may allow less.",
    },
}


def dataset(name: str, table: Mapping[str, Any]) -> Dataset:
    """A dataset, whose members are of the right types."""
    types = {column: ColumnType(kind) for column, kind in table.get("types", {}).items()}
    file = table.get("file", "")
    return Dataset(
        name,
        file=str(PurePosixPath(file)) if file else "",
        connection=table.get("connection", ""),
        table=table.get("table", ""),
        types=types,
    )


def dataset_complaints(table: Mapping[str, Any], folder: Path) -> Iterator[Complaint]:
    """What is wrong with a dataset whose members are of the right types."""
    if ("file" in table) == ("table" in table):
        yield (), "Must have either `file`, or `connection` and `table`."
    elif "file" in table:
        path = PurePosixPath(table["file"])
        if path.is_absolute() or ".." in path.parts or "\\" in table["file"]:
            yield ("file",), "Must be a file in this folder, or in one below it."
        elif not (folder / path).is_file():
            yield ("file",), f"There is no file {table['file']!r}."
        if "connection" in table:
            yield ("connection",), "Only a dataset with `table` has this."
    else:
        if "connection" not in table:
            yield (), "`connection` is missing."
        if "types" in table:
            yield ("types",), "Only a dataset with `file` has this; a database knows its types."


def enrichment(table: Mapping[str, Any]) -> Enrichment:
    """An enrichment, whose members are of the right types."""
    reactions = {name: Reaction(table[name]) for name in table if name.startswith("on_")}
    return Enrichment(
        dataset=table["dataset"],
        keys=_renamed(table["keys"]),
        columns=_renamed(table["columns"]),
        return_enriched=table.get("return_enriched", False),
        **reactions,
    )


def enrichment_complaints(table: Mapping[str, Any], datasets: Sequence[str]) -> Iterator[Complaint]:
    """What is wrong with an enrichment whose members are of the right types."""
    name = table["dataset"]
    if name not in datasets:
        yield ("dataset",), f"There is no dataset {name!r}.{did_you_mean(name, datasets)}"


def _renamed(columns: Any) -> dict[str, str]:
    return dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}


def query_options(table: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an ``sql`` endpoint, whose members are of the right types."""
    options = {name: table[name] for name in SQL if name in table}
    parameters = table.get("parameters", {})
    options["parameters"] = {
        name: {"type": told} if isinstance(told, str) else dict(told) for name, told in parameters.items()
    }
    return options


def query_complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    """What is wrong with an ``sql`` endpoint whose members are of the right types."""
    options = query_options(table)
    try:
        query = SqlQuery.from_options(options)
    except ValueError as error:
        yield ("query",), f"Cannot be used: {error}."
        return
    for name, told in options["parameters"].items():
        if told.get("required") and "default" in told:
            yield ("parameters", name, "default"), "A required parameter takes no default."
        elif "default" in told:
            try:
                Arguments({name: query.parameters[name]}).load({name: told["default"]})
            except InvalidInput as error:
                yield ("parameters", name, "default"), error.issues[0].detail
