"""What a ``service.toml`` may say, as a JSON Schema: the one source of the reader's checks and of what is published.

``description`` is for editors and the reference; ``x-expected`` is how a sentence goes on that begins with "Must be",
where the schema's own words would not do.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from deepaas_core.domain.prediction_log import LogMode
from deepaas_core.domain.service import NAME, NAME_EXPECTED, EndpointKind, FeatureType
from deepaas_core.publishing import data
from deepaas_core.settings import Workers

FILE = "service.toml"
SCRIPT = r"^[^:\\]+\.(py|R|r):[A-Za-z_.][\w.]*$"
#: Scripts always run in processes of their own.
_NOT_FOR_SERVICES = frozenset({"executor"})
_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _named(description: str, values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A table whose keys are names that somebody chose."""
    return {"type": "object", "description": description, "additionalProperties": values, **more}


def _table(description: str, members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": members,
        "additionalProperties": False,
        **more,
    }


_NAMES = {"pattern": f"^{NAME.pattern}$", "x-expected": NAME_EXPECTED}
_TARGET = _text(
    "A function of a script in this folder, e.g. `score.py:predict` or `score.R:predict`.",
    pattern=SCRIPT,
    **{"x-expected": "a script and its function, e.g. `score.py:predict`"},
)
_MODEL = _text("The name of a model that is installed where the service runs.", minLength=1)
_CLASS = {"type": ["string", "integer", "boolean"], "x-expected": "text, a whole number, or true or false"}

_FEATURE_TABLE = _table(
    "An input or output.",
    {
        "type": {"enum": list(FeatureType), "description": "What its value is.", "default": "number"},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": -1},
            "description": "Lengths of an array's axes, or height, width and channels of an image; -1 is any length.",
        },
        "required": {"type": "boolean", "description": "Whether a row without it is refused; true without a default."},
        "default": {"description": "Taken where a row has none."},
        "minimum": {"type": "number", "description": "The least number allowed."},
        "maximum": {"type": "number", "description": "The greatest number allowed."},
        "classes": {
            "type": "array",
            "items": _CLASS,
            "minItems": 1,
            "uniqueItems": True,
            "description": "Of a categorical feature, in the order in which the model gives their probabilities.",
        },
        "help": _text("What it means, for the documentation."),
    },
)
_FEATURES = {
    "anyOf": [{"enum": list(FeatureType)}, {"$ref": "#/$defs/feature"}],
    "x-expected": "a type (" + ", ".join(FeatureType) + ") or a table that describes it",
}
_VARIANT = {
    "anyOf": [_TARGET, {"$ref": "#/$defs/variant"}],
    "x-expected": 'a script and its function, e.g. `score.py:predict`, or a table `{ model = "…" }`',
}
#: What every endpoint that runs a function may have.
_COMMON = {
    "kind": {"enum": list(EndpointKind), "description": "What the endpoint does."},
    "help": _text("What it is for, for the documentation."),
    "script": _TARGET,
    "model": _MODEL,
    "variants": _named(
        "Several targets, one of which a request chooses by a parameter.",
        _VARIANT,
        minProperties=1,
        propertyNames=_NAMES,
    ),
    "default": _text("The variant for requests that choose none; otherwise the first."),
    "chosen_by": _text(
        "The parameter by which a request chooses a variant.",
        default="model",
        pattern=r"^[A-Za-z_]\w*$",
        **{"x-expected": "a name of letters, digits and _"},
    ),
    "bare": {
        "type": "boolean",
        "default": False,
        "description": "Answer the value itself, without the envelope that names service and generation.",
    },
    "workers": {"$ref": "#/$defs/workers"},
}
_PREDICTION = _table(
    "Maps rows of features to rows of outputs.",
    {
        **_COMMON,
        "inputs": _named("What a row must have, by name.", _FEATURES),
        "outputs": _named("What an answered row has, by name.", _FEATURES),
        "enrichments": data.ENRICHMENTS,
    },
)
_FUNCTION = _table("Is called with arguments and answers whatever it returns.", _COMMON)
#: What every endpoint may have, whatever it does.
_ANY = {name: _COMMON[name] for name in ("kind", "help", "bare")}
_LOOKUP = _table(
    "Fetches the rows of datasets that have given keys.", {**_ANY, **data.LOOKUP}, required=["enrichments"]
)
_SQL = _table("Runs a query with parameters.", {**_ANY, **data.SQL}, required=["connection", "query"])
#: The kinds of endpoints, and how each is described.
KINDS = {
    EndpointKind.PREDICTION: _PREDICTION,
    EndpointKind.FUNCTION: _FUNCTION,
    EndpointKind.LOOKUP: _LOOKUP,
    EndpointKind.SQL: _SQL,
}

_TEST = _table(
    "A test query: a request that a generation must answer before it goes live.",
    {
        "endpoint": _text("Which endpoint is asked."),
        "name": _text("What it is called in reports."),
        "rows": {
            "type": "array",
            "items": {"type": "object"},
            "minItems": 1,
            "description": "For a prediction, the rows.",
        },
        "arguments": {
            "type": "object",
            "description": "For a function, its arguments; for a prediction, its parameters, such as the variant.",
        },
        "expected": {"description": "What must come back: one row for each row, or the value. Left out, any answer."},
        "tolerance": {
            "type": "number",
            "minimum": 0,
            "default": 1e-6,
            "description": "How far a number may be from the expected one.",
        },
    },
    required=["endpoint"],
)


_CONDITION = _text(
    "A metric, a comparison and a number, e.g. `accuracy >= 0.9`.",
    pattern=r"^\s*[^\s<>=!]+\s*(>=|<=|==|!=|>|<)\s*\S+\s*$",
    **{"x-expected": "a metric, a comparison and a number, e.g. `accuracy >= 0.9`"},
)
_DRIFT = _table(
    "Recent inputs, out of the prediction log, must look like the training data.",
    {
        "reference": _text("The training data: a CSV file in this folder."),
        "endpoint": _text("Whose inputs."),
        "features": {
            **data.NAMES,
            "description": "Which of them; as a table, where the file has other names: `{ amount = "
            '"credit_amount" }`. Left out, all that the file and the inputs have in common.',
        },
        "recent": {
            "type": "integer",
            "minimum": 1,
            "maximum": 100000,
            "default": 1000,
            "description": "Rows to look at.",
        },
        "at_least": {
            "type": "integer",
            "minimum": 1,
            "default": 100,
            "description": "With fewer rows nothing can be said, and the check lets pass.",
        },
        "most": {
            "type": "number",
            "minimum": 0,
            "default": 0.2,
            "description": "The largest population stability index of a feature that is not drift.",
        },
    },
    required=["reference", "endpoint"],
)
_AUTOMATION = _table(
    "What is done by itself: train, check, publish, deploy; a step that is left out is not done.",
    {
        "schedule": _text("When: five fields of cron, in UTC, e.g. `0 3 * * *`."),
        "after_run_of": _text("The installed model after whose successful training runs it is done.", minLength=1),
        "train": _text(
            "What trains: a function of a script, e.g. `train.py:train`, or an installed model.", minLength=1
        ),
        "arguments": {"type": "object", "description": "What `train` is called with."},
        "check": {"type": "array", "items": _CONDITION, "description": "What the run's metrics must reach."},
        "drift": {"$ref": "#/$defs/drift"},
        "publish": _text("The version of the new generation; a number is added where it is taken.", minLength=1),
        "deploy": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "description": "The part of the traffic that the new generation gets.",
        },
    },
)


def _workers() -> dict[str, Any]:
    hints = get_type_hints(Workers)
    members = {}
    for item in fields(Workers):
        if item.name in _NOT_FOR_SERVICES:
            continue
        kind = next(option for option in get_args(hints[item.name]) or [hints[item.name]] if option in _JSON_TYPES)
        member = {"type": _JSON_TYPES[kind], "description": item.metadata["doc"]}
        least, most = item.metadata["least"], item.metadata["most"]
        members[item.name] = member | {
            bound: value for bound, value in (("minimum", least), ("maximum", most)) if value is not None
        }
    return _table("Settings of the group `workers` for this endpoint alone.", members)


def _endpoint() -> dict[str, Any]:
    """An endpoint: its kind says what else it may have."""
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": _COMMON["kind"]},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": str(kind)}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{kind}"},
            }
            for kind in KINDS
        ],
    }


_LOG = _table(
    "What is kept of its predictions; what is left out is as the settings of the server say.",
    {
        "log": {"enum": list(LogMode), "description": "How many predictions are kept."},
        "sample": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "The part of them that `sampled` keeps.",
        },
        "redact": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "description": "Names whose values are not kept, besides those that the server redacts.",
        },
        "inputs": {"type": "boolean", "description": "Whether what was asked is kept."},
        "outputs": {"type": "boolean", "description": "Whether what was answered is kept."},
        "max_entry_kb": {
            "type": "integer",
            "minimum": 1,
            "maximum": 2**20,
            "description": "Inputs, output and context are each kept up to this, in KiB.",
        },
        "durable": {"type": "boolean", "description": "Whether an answer waits until its entry is on disk."},
    },
)

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": FILE,
    **_table(
        "A service: what one folder offers to others.",
        {
            "name": _text("Its id; stands in URLs.", **_NAMES),
            "title": _text("Its name for people."),
            "description": _text("What it is for."),
            "endpoints": _named(
                "Its endpoints, by name.", {"$ref": "#/$defs/endpoint"}, minProperties=1, propertyNames=_NAMES
            ),
            "datasets": {**data.DATASETS, "propertyNames": _NAMES},
            "automations": _named(
                "What is done by itself, by name.", {"$ref": "#/$defs/automation"}, propertyNames=_NAMES
            ),
            "log": {"$ref": "#/$defs/log"},
            "tests": {"type": "array", "items": {"$ref": "#/$defs/test"}, "description": "Its test queries."},
        },
        required=["name", "endpoints"],
    ),
    "$defs": {
        "endpoint": _endpoint(),
        **{str(kind): described for kind, described in KINDS.items()},
        "feature": _FEATURE_TABLE,
        "variant": _table(
            "What a variant runs.", {"script": _TARGET, "model": _MODEL}, minProperties=1, maxProperties=1
        ),
        "workers": _workers(),
        "log": _LOG,
        "test": _TEST,
        "automation": _AUTOMATION,
        "drift": _DRIFT,
        **data.DEFINITIONS,
    },
}


def published() -> str:
    """The schema as the file that is published."""
    return json.dumps(SCHEMA, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(published(), end="")
