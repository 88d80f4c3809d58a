"""The routes of one service: every endpoint with its inputs and outputs, and examples from its test queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from apispec.ext.marshmallow import MarshmallowPlugin

from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.example import example_of, sent_to
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, FeatureType, Service
from deepaas_core.domain.sql_query import SqlQuery
from deepaas_core.web.negotiation import NDJSON
from deepaas_core.web.openapi.bodies import Declared
from deepaas_core.web.openapi.parts import API, JSON, MULTIPART, Json, answer, members, problems, text
from deepaas_core.web.openapi.schemas import FILE, convert
from deepaas_core.web.tabular import CSV, PARQUET_TYPES

_STATUSES = (400, 404, 406, 408, 413, 415, 422, 500, 501, 503, 504)
_TYPES: Mapping[FeatureType, Json] = {
    FeatureType.NUMBER: {"type": "number"},
    FeatureType.INTEGER: {"type": "integer"},
    FeatureType.BOOLEAN: {"type": "boolean"},
    FeatureType.TEXT: {"type": "string"},
    FeatureType.CATEGORICAL: {},
    FeatureType.IMAGE: {"type": "string", "format": "byte"},
}
_HEADERS = {
    "X-Generation": "The generation that is to answer; else the shares decide.",
    "X-Dispatch-Key": "What keeps a caller on one side of the shares, e.g. a customer's id.",
}
#: Answers to rows for those who ask for them line by line.
_LINES: Json = {media_type: {"schema": {"type": "string"}} for media_type in (CSV, NDJSON)}
_NAMED: Json = {"X-Service-Generation": {"description": "Who answered.", "schema": {"type": "string"}}}


@dataclass(frozen=True)
class Described:
    """A service as a document tells of it.

    Attributes:
        version: The generation that is described.
        definition: What it offers.
        arguments: What the function of each endpoint can be told, as far as that is known.
    """

    name: str
    version: str
    definition: Service
    arguments: Mapping[str, Arguments]


class EndpointRoutes:
    """Writes the routes of the endpoints of one service.

    Args:
        service: Which.
        plugin: Converts arguments.
    """

    def __init__(self, service: Described, plugin: MarshmallowPlugin):
        self._name, self._version, self._definition = service.name, service.version, service.definition
        self._arguments, self._plugin = service.arguments, plugin

    @property
    def tag(self) -> Json:
        """The service itself."""
        words = (self._definition.title, self._definition.description, f"Described as in generation {self._version}.")
        return {"name": f"{self._name} (service)", "description": "\n\n".join(filter(None, map(text, words)))}

    def paths(self) -> dict[str, Json]:
        """The operations of each path."""
        base = f"{API}/services/{quote(self._name, safe='')}/endpoints"
        paths = {}
        for endpoint in self._definition.endpoints.values():
            verb, describe = self._manner(endpoint)
            paths[f"{base}/{quote(endpoint.name, safe='')}{verb}"] = {"post": describe(endpoint)}
        return paths

    def _manner(self, endpoint: Endpoint) -> tuple[str, Callable[[Endpoint], Json]]:
        """What the route of an endpoint ends in, and what describes it."""
        return {
            EndpointKind.PREDICTION: ("/predict", self._prediction),
            EndpointKind.FUNCTION: ("", self._function),
            EndpointKind.LOOKUP: ("/lookup", self._lookup),
            EndpointKind.SQL: ("/query", self._query),
        }[endpoint.kind]

    def _prediction(self, endpoint: Endpoint) -> Json:
        row = _row(sent_to(endpoint))
        body = members({"rows": {"type": "array", "items": row}, **_chosen(endpoint)}, ["rows"])
        example = example_of(self._definition, endpoint, self._told(endpoint))
        as_json: Json = {"schema": body} if example is None else {"schema": body, "example": example}
        table = {"file": {**FILE, "description": "A CSV or Parquet file with a column for each input."}}
        content = {
            JSON: as_json,
            CSV: {"schema": {"type": "string"}, "example": _csv(endpoint, example)},
            PARQUET_TYPES[0]: {"schema": FILE},
            MULTIPART: {"schema": members(table, [])},
        }
        answered = {"type": "array", "items": _answered(endpoint)}
        ok = self._answer(endpoint, "One answer for each row, in order.", "rows", answered)
        ok["content"] |= _LINES
        return self._operation(endpoint, {"content": content, "required": True}, ok, [_ERRORS])

    def _function(self, endpoint: Endpoint) -> Json:
        arguments = self._arguments.get(endpoint.name, Arguments())
        declared = Declared(arguments, convert(arguments, self._plugin))
        content = declared.bodies()
        example = example_of(self._definition, endpoint, None)
        if example and JSON in content:
            content[JSON]["example"] = example
        ok = self._answer(endpoint, "What the function returned; of a list of records, for each.", "result", {})
        ok["content"] |= _LINES
        return self._operation(endpoint, {"content": content, "required": declared.required}, ok, [])

    def _lookup(self, endpoint: Endpoint) -> Json:
        body = members({"rows": {"type": "array", "items": _row(sent_to(endpoint))}}, ["rows"])
        as_json: Json = {"schema": body, "example": example_of(self._definition, endpoint)}
        fetched: Json = {name: {} for enrichment in endpoint.enrichments for name in enrichment.columns}
        answered = {"type": "array", "items": members(fetched, [])}
        ok = self._answer(endpoint, "What was found for each key, in order.", "rows", answered)
        ok["content"] |= _LINES
        return self._operation(endpoint, {"content": {JSON: as_json}, "required": True}, ok, [_ERRORS])

    def _query(self, endpoint: Endpoint) -> Json:
        parameters = SqlQuery.from_options(endpoint.options).parameters
        declared = Declared(parameters, convert(parameters, self._plugin))
        records = endpoint.options.get("records", False)
        rows: Json = {"type": "array", "items": {"type": "object"} if records else {"type": "array", "items": {}}}
        columns: Json = {"type": "array", "items": {"type": "string"}}
        answered = {"columns": columns, "rows": rows, "truncated": {"type": "boolean"}}
        ok = answer("The rows.", members({**({} if endpoint.bare else self._envelope(endpoint)), **answered}, []))
        body = {"content": declared.bodies(), "required": declared.required}
        return self._operation(endpoint, body, {**ok, "headers": _NAMED}, [])

    def _told(self, endpoint: Endpoint) -> Json:
        """Values for the arguments of a prediction that declares no inputs."""
        arguments = self._arguments.get(endpoint.name, Arguments())
        content = Declared(arguments, convert(arguments, self._plugin)).json({})
        example: Json = content.get("example", {})
        return example

    def _answer(self, endpoint: Endpoint, description: str, member: str, schema: Json) -> Json:
        envelope = {**self._envelope(endpoint), member: schema}
        ok = answer(description, schema if endpoint.bare else members(envelope, list(envelope)))
        return {**ok, "headers": _NAMED}

    def _envelope(self, endpoint: Endpoint) -> dict[str, Json]:
        return {
            "service": {"type": "string", "example": self._name},
            "generation": {"type": "string", "example": self._version},
            "endpoint": {"type": "string", "example": endpoint.name},
        }

    def _operation(self, endpoint: Endpoint, body: Json, ok: Json, more: Sequence[Json]) -> Json:
        parameters = [*more, *(_parameter("header", name, said, {"type": "string"}) for name, said in _HEADERS.items())]
        parameters += [_parameter("query", name, "", schema) for name, schema in _chosen(endpoint).items()]
        return {
            "tags": [f"{self._name} (service)"],
            "operationId": f"{self._name}.{endpoint.name}",
            "summary": text(endpoint.help) or endpoint.name,
            "requestBody": body,
            "parameters": parameters,
            "responses": {"200": ok, **problems(*_STATUSES)},
        }


def _parameter(where: str, name: str, description: str, schema: Json) -> Json:
    return {"in": where, "name": name, "description": description or schema.get("description", ""), "schema": schema}


_ERRORS = _parameter(
    "query",
    "errors",
    "What a row is told in that cannot be answered.",
    {"type": "string", "enum": ["request", "rows"], "default": "request"},
)


def _chosen(endpoint: Endpoint) -> dict[str, Json]:
    """The parameter that chooses a variant, where there are some."""
    if "" in endpoint.targets or not endpoint.targets:
        return {}
    return {
        endpoint.chosen_by: {
            "type": "string",
            "enum": list(endpoint.targets),
            "default": endpoint.default_variant,
            "description": "Which variant answers.",
        }
    }


def _row(features: Sequence[Feature]) -> Json:
    if not features:
        return {"type": "object"}
    required = [feature.name for feature in features if feature.required]
    properties = {feature.name: feature_schema(feature) for feature in features}
    return {**members(properties, required), "additionalProperties": False}


def _answered(endpoint: Endpoint) -> Json:
    """An answered row: the outputs, and the probabilities of those that are classes."""
    if not endpoint.outputs:
        return {}
    properties = {feature.name: feature_schema(feature) for feature in endpoint.outputs}
    shares = {
        feature.name: members({str(one): {"type": "number"} for one in feature.classes}, [])
        for feature in endpoint.outputs
        if feature.type is FeatureType.CATEGORICAL
    }
    if shares:
        properties["probabilities"] = {**members(shares, []), "description": "By output and class, if there are any."}
    return members(properties, [feature.name for feature in endpoint.outputs])


def feature_schema(feature: Feature) -> Json:
    """What a value of a feature must be."""
    schema: Json = _array(feature.shape) if feature.type is FeatureType.ARRAY else dict(_TYPES[feature.type])
    if feature.classes:
        schema["enum"] = list(feature.classes)
    if all(isinstance(one, str) for one in feature.classes) and feature.type is FeatureType.CATEGORICAL:
        schema["type"] = "string"
    for name, value in (("minimum", feature.minimum), ("maximum", feature.maximum), ("default", feature.default)):
        if value is not None:
            schema[name] = value
    notes = [text(feature.help)]
    if feature.type is FeatureType.IMAGE:
        size = " × ".join("any" if length is None else str(length) for length in feature.shape)
        notes.append(f"A picture as base64 or data URL; it is resized to {size}.")
    if any(notes):
        schema["description"] = " ".join(filter(None, notes))
    if not feature.required and "type" in schema and "enum" not in schema:
        schema["nullable"] = True
    return schema


def _array(shape: Sequence[int | None]) -> Json:
    if not shape:
        return {"type": "array", "items": {}}
    items = _array(shape[1:]) if len(shape) > 1 else {"type": "number"}
    bounds = {} if shape[0] is None else {"minItems": shape[0], "maxItems": shape[0]}
    return {"type": "array", "items": items, **bounds}


def _csv(endpoint: Endpoint, example: Mapping[str, Any] | None) -> str:
    rows = example.get("rows") if example else None
    if not isinstance(rows, list) or not rows:
        return ",".join(feature.name for feature in sent_to(endpoint))
    names = list(rows[0])
    return "\n".join([",".join(names), *(",".join(str(row.get(name, "")) for name in names) for row in rows)])


def generic_paths() -> dict[str, Json]:
    """How any endpoint is called, and where a service's own document is; by path and method."""
    service, generation = f"{API}/services/{{service}}", f"{API}/services/{{service}}/generations/{{version}}"
    document = answer("The document, in which every endpoint is spelled out.", {"type": "object"})
    schema = answer("A JSON Schema.", {"type": "object"})
    schema["content"] = {"application/schema+json": {"schema": {"type": "object"}}}
    paths: dict[str, Json] = {
        f"{API}/schemas/service.json": {
            "get": _generic("get_schema", "Read what a service.toml may say", [], {"200": schema})
        }
    }
    for base, suffix, names in ((service, "", ["service"]), (generation, "_of_generation", ["service", "version"])):
        paths[f"{base}/openapi.json"] = {
            "get": _generic(
                f"get_service_openapi{suffix}",
                "Read the document of a service",
                names,
                {"200": document, **problems(404, 503)},
            )
        }
        for verb in ("", *_VERBS):
            operation = f"{verb or 'call'}_endpoint{suffix}"
            path = f"{base}/endpoints/{{endpoint}}" + (f"/{verb}" if verb else "")
            asked = [*names, "endpoint"]
            paths[path] = {
                "post": _any_endpoint(operation, asked),
                "get": _any_endpoint(f"{operation}_by_query", asked),
            }
            content = {JSON: {"schema": {}}, CSV: {"schema": {"type": "string"}}}
            paths[path]["post"]["requestBody"] = {"content": content}
    return paths


#: What the longer names of the routes end in.
_VERBS = ("predict", "lookup", "query")


def _any_endpoint(name: str, names: Sequence[str]) -> Json:
    ok = {**answer("As the service's own document says.", {}), "headers": _NAMED}
    operation = _generic(name, "Call an endpoint; see the document of its service", names, {"200": ok})
    operation["responses"] |= problems(*_STATUSES)
    operation["parameters"] += [_parameter("header", one, said, {"type": "string"}) for one, said in _HEADERS.items()]
    return operation


def _generic(name: str, summary: str, names: Sequence[str], responses: Json) -> Json:
    parameters = [{**_parameter("path", one, "Its name.", {"type": "string"}), "required": True} for one in names]
    return {
        "tags": ["Services"],
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": responses,
    }
