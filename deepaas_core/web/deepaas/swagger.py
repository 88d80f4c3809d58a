"""The Swagger 2.0 document, from which front ends for DEEPaaS draw their forms.

Parameters keep the author's order. What DEEPaaS's own document says and its server does not do (a list of trainings
inside an object, failures with 400) is told here as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import __version__
from deepaas_core.domain.arguments import Argument, Arguments, Kind
from deepaas_core.domain.model import Capability, Model
from deepaas_core.web.auth import visible
from deepaas_core.web.deepaas.answers import json_response, redirected
from deepaas_core.web.deepaas.versions import base_of
from deepaas_core.web.keys import SETTINGS
from deepaas_core.web.routes import SEE, get_alone, partly

TITLE = "DEEP as a Service API endpoint"
_TYPES: dict[Kind, dict[str, str]] = {
    Kind.STRING: {"type": "string"},
    Kind.INTEGER: {"type": "integer", "format": "int32"},
    Kind.NUMBER: {"type": "number", "format": "float"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DECIMAL: {"type": "number"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.DATETIME: {"type": "string", "format": "date-time"},
    Kind.TIME: {"type": "string"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.URL: {"type": "string", "format": "url"},
    Kind.EMAIL: {"type": "string", "format": "email"},
    Kind.OBJECT: {"type": "object"},
    Kind.FILE: {"type": "file"},
}
_PLACES = {"query": "query", "form": "formData", "header": "header", "cookie": "cookie"}
_STRING, _OBJECT = {"type": "string"}, {"type": "object"}


async def get_swagger(request: web.Request) -> web.Response:
    """The document of the models as they are now."""
    settings = request.app[SETTINGS].deepaas
    models = [entry.model for entry in visible(request)[0] if entry.model is not None]
    document = _Document(base_of(request))
    for model in models:
        document.add(model, predict=settings.predict_endpoint, train=settings.train_endpoint)
    return json_response(document.plain)


async def redirect_to_docs(request: web.Request) -> web.Response:
    """Send on who knows the page by its older name."""
    return redirected(302, f"{base_of(request)}/api")


class _Document:
    def __init__(self, base: str):
        self._base = base
        self._definitions = dict(_DEFINITIONS)
        self._paths: dict[str, Any] = {
            f"{base}/": _get("versions", "Get available API versions", "Versions"),
            f"{base}/v2/": _get("versions", "Get V2 API version information", "Version"),
            f"{base}/v2/debug/": {
                "get": {
                    "tags": ["debug"],
                    "summary": "What the server and the models have printed, if that may be shown",
                    "produces": ["text/plain"],
                    "responses": {"200": {"description": "Text"}, "204": {"description": "It is not shown"}},
                }
            },
            f"{base}/v2/models/": _get("models", "Return loaded models and its information", "Models"),
        }
        self.plain = {
            "swagger": "2.0",
            "info": {"title": TITLE, "version": __version__},
            "tags": [{"name": "versions"}, {"name": "debug"}, {"name": "models"}],
            "paths": self._paths,
            "definitions": self._definitions,
        }

    def add(self, model: Model, *, predict: bool, train: bool) -> None:
        """The routes of one model."""
        here = f"{self._base}/v2/models/{model.name}"
        self._paths[f"{here}/"] = _get("models", f"Return model {model.name}'s metadata", "ModelMeta")
        if predict:
            self._paths[f"{here}/predict/"] = {"post": self._predict(model)}
        if train:
            listed = {"type": "array", "items": _ref("Training")}
            self._paths[f"{here}/train/"] = {
                "get": _operation("Get the trainings of this model", "All trainings, oldest first", listed),
                "post": {
                    **_operation("Train the model", "The training, which has been asked for", _ref("Training"), _BAD),
                    "parameters": _parameters(model.arguments_of(Capability.TRAIN)),
                },
            }
            uuid = [{"in": "path", "name": "uuid", "required": True, "type": "string"}]
            gone = {"404": {"description": "There is no such training"}}
            self._paths[f"{here}/train/{{uuid}}"] = {
                "get": {**_operation("Get a training", "The training", _ref("Training"), gone), "parameters": uuid},
                "delete": {
                    **_operation("Cancel or delete a training", "Its last state", _ref("Training"), gone),
                    "parameters": uuid,
                },
            }

    def _predict(self, model: Model) -> dict[str, Any]:
        arguments = model.arguments_of(Capability.PREDICT)
        operation = _operation("Make a prediction given the input data", "The prediction", self._answer(model), _BAD)
        operation["produces"] = _produced(arguments)
        operation["parameters"] = _parameters(arguments)
        return operation

    def _answer(self, model: Model) -> dict[str, Any]:
        if model.response is None:
            return _ref("Prediction")
        name, number = "ModelPredictionResponse", 0
        while name in self._definitions:
            number += 1
            name = f"ModelPredictionResponse{number}"
        self._definitions[name] = _object_of(model.response)
        return _ref(name)


def _produced(arguments: Arguments) -> list[str]:
    accept = next((argument for key, argument in arguments.items() if key.lower() == "accept"), None)
    if accept is None or not accept.choices:
        return ["application/json"]
    return [*dict.fromkeys([*map(str, accept.choices), "*/*"])]


def _parameters(arguments: Arguments) -> list[dict[str, Any]]:
    parameters = []
    members = [argument for argument in arguments.values() if argument.location == "json"]
    body = {"in": "body", "name": "body", "required": False, "schema": _object_of(tuple(members))}
    for argument in arguments.values():
        if argument.location != "json":
            parameters.append(_parameter(argument))
        elif argument is members[0]:
            parameters.append(body)
    if any(parameter["in"] == "formData" for parameter in parameters):
        return [parameter for parameter in parameters if parameter["in"] != "body"]  # this language knows but one body
    return parameters


def _parameter(argument: Argument) -> dict[str, Any]:
    if argument.kind is Kind.ARRAY and argument.items is not None and argument.items.kind is Kind.FILE:
        argument = replace(argument, kind=Kind.FILE)  # this language knows one file only; more are taken all the same
    place = "formData" if argument.kind is Kind.FILE else _PLACES[argument.location or "query"]
    parameter = {"in": place, "name": argument.key, "required": argument.required, **_as_text(_schema(argument))}
    if argument.kind is Kind.ARRAY:
        parameter["collectionFormat"] = "multi"
    return parameter


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema for what is not in a JSON body: there is no object in this language, but its text will do."""
    if schema.get("type") == "array":
        return {**schema, "items": _as_text(schema["items"])}
    if schema.get("type", "object") != "object":
        return schema
    said: dict[str, Any] = {name: schema[name] for name in ("description", "format", "x-nullable") if name in schema}
    if "type" in schema:
        said.setdefault("format", "json")
    if "enum" in schema:
        said["enum"] = list(map(_text, schema["enum"]))
    if schema.get("default") is not None:
        said["default"] = _text(schema["default"])
    return {"type": "string", **said}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _schema(argument: Argument) -> dict[str, Any]:
    """What Swagger 2.0 can say of an argument's value."""
    schema: dict[str, Any] = dict(_TYPES.get(argument.kind, {}))
    if argument.kind is Kind.ARRAY:
        schema.update(type="array", items=_schema(argument.items) if argument.items else {})
    elif argument.properties:
        schema = _object_of(argument.properties)
    said = {
        "description": argument.help or None,
        "enum": list(argument.choices) or None,
        "minimum": _finite(argument.minimum),
        "maximum": _finite(argument.maximum),
        "exclusiveMinimum": argument.exclusive_minimum or None,
        "exclusiveMaximum": argument.exclusive_maximum or None,
        "minItems" if argument.kind is Kind.ARRAY else "minLength": argument.min_length,
        "maxItems" if argument.kind is Kind.ARRAY else "maxLength": argument.max_length,
        "pattern": argument.pattern,
        "x-nullable": argument.nullable or None,
        "format": "password" if argument.secret else None,
    }
    schema.update({name: value for name, value in said.items() if value is not None})
    if argument.has_default and not argument.secret:
        schema["default"] = argument.default
    return schema


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and math.isfinite(bound) else None


def _object_of(members: tuple[Argument, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {member.key: _schema(member) for member in members}}
    required = [member.key for member in members if member.required]
    return {**schema, "required": required} if required else schema


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}"}


def _get(tag: str, summary: str, definition: str) -> dict[str, Any]:
    return {"get": {**_operation(summary, "What was asked for", _ref(definition)), "tags": [tag]}}


def _operation(
    summary: str, answer: str, schema: Mapping[str, Any], others: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "tags": ["models"],
        "summary": summary,
        "produces": ["application/json"],
        "responses": {"200": {"description": answer, "schema": schema}, **(others or {})},
    }


_BAD = {"422": {"description": "What is wrong, by argument", "schema": _OBJECT}}
_LINKS = {"type": "array", "items": _ref("Location")}
_DEFINITIONS: dict[str, Any] = {
    "Failure": {"type": "object", "properties": {"message": _STRING}},
    "Location": {
        "type": "object",
        "required": ["href", "rel"],
        "properties": {"href": _STRING, "rel": _STRING, "type": _STRING},
    },
    "Version": {"type": "object", "properties": {"version": _STRING, "id": _STRING, "links": _LINKS}},
    "Versions": {
        "type": "object",
        "properties": {"versions": {"type": "array", "items": _ref("Version")}, "links": _LINKS},
    },
    "ModelMeta": {
        "type": "object",
        "required": ["id", "name", "links"],
        "properties": {"id": _STRING, "name": _STRING, "description": _STRING, "links": _LINKS},
    },
    "Models": {"type": "object", "properties": {"models": {"type": "array", "items": _ref("ModelMeta")}}},
    "Training": {
        "type": "object",
        "properties": {
            "uuid": _STRING,
            "date": _STRING,
            "status": {"type": "string", "enum": ["running", "done", "error", "cancelled"]},
            "args": _OBJECT,
            "message": _STRING,
            "result": {
                "type": "object",
                "properties": {"output": {}, "finish_date": _STRING, "duration": _STRING},
            },
        },
    },
    "Prediction": {
        "type": "object",
        "required": ["status", "predictions"],
        "properties": {"status": _STRING, "predictions": {}},
    },
}

ROUTES = [get_alone("/swagger.json", get_swagger, partly(SEE))]
