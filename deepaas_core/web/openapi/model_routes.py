"""The routes of one model."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.model import Capability, Model
from deepaas_core.web.openapi.bodies import Declared
from deepaas_core.web.openapi.examples import as_csv, as_text, example_data
from deepaas_core.web.openapi.parts import API, JSON, MULTIPART, Json, answer, members, problems, reference, text
from deepaas_core.web.openapi.schemas import FILE, convert
from deepaas_core.web.openapi.server_routes import CONDITION, TAGS


class ModelRoutes:
    """Writes the routes of one model into a document.

    A function that the model does not have gets no route; the model's own description says that it answers 501.
    """

    def __init__(self, model: Model, spec: APISpec, plugin: MarshmallowPlugin):
        self._model = model
        self._spec = spec
        self._plugin = plugin
        self._segment = quote(model.name, safe="")
        self._tag = f"{model.name} (model)" if model.name in TAGS else model.name
        self._writers: dict[Capability, Callable[[], None]] = {
            Capability.PREDICT_DATA: self._predict_data,
            Capability.PREDICT_FILE: self._predict_file,
            Capability.PREDICT_URL: self._predict_url,
            Capability.PREDICT: self._predict,
            Capability.TRAIN: self._train,
        }

    def write(self) -> None:
        """Add the model's tag and every route it offers."""
        self._spec.tag({"name": self._tag, "description": self._description()})
        for capability, write in self._writers.items():
            if capability in self._model.capabilities:
                write()
        listed = answer("The arguments.", {"type": "object"})
        self._get("", Capability.METADATA, "Read its metadata", answer("The model.", reference("Model")))
        self._get("predict-args", Capability.PREDICT_ARGS, "List what the predict functions can be told", listed)
        self._get("train-args", Capability.TRAIN_ARGS, "List what train can be told", listed)

    def _description(self) -> str:
        model = self._model
        words = model.metadata.get("description") or model.metadata.get("summary") or model.source.summary
        missing = [capability.function for capability in self._writers if capability not in model.capabilities]
        parts = [f"Version {text(model.version)}.", text(words)]
        if missing:
            parts.append("Not offered (501): " + ", ".join(f"`{function}`" for function in missing) + ".")
        return "\n\n".join(part for part in parts if part)

    def _predict_data(self) -> None:
        arguments = self._arguments(Capability.PREDICT_DATA, payload="data")
        example = example_data(self._model.signature)
        data = {"description": "The data, in the form that the model takes.", "example": example}
        content = {
            JSON: arguments.json({"data": data}),
            MULTIPART: arguments.multipart({"data": {**FILE, "description": "The data, as a file of any type."}}),
            "text/plain": {"schema": {"type": "string", "example": as_text(example)}},
            "text/csv": {"schema": {"type": "string", "example": as_csv(example)}},
            "application/x-npy": {"schema": FILE},
            "application/octet-stream": {"schema": FILE},
        }
        parameters = [*arguments.parameters(), *arguments.beside_raw_bodies()]
        self._post_prediction("predict/data", Capability.PREDICT_DATA, "Predict from data", content, parameters)

    def _predict_file(self) -> None:
        arguments = self._arguments(Capability.PREDICT_FILE, payload="data")
        content = {MULTIPART: arguments.multipart({"data": {**FILE, "description": "The file to predict from."}})}
        parameters = arguments.parameters()
        self._post_prediction("predict/file", Capability.PREDICT_FILE, "Predict from a file", content, parameters)

    def _predict_url(self) -> None:
        arguments = self._arguments(Capability.PREDICT_URL, payload="url")
        url = {
            "type": "string",
            "format": "uri",
            "description": "Where the input is to be fetched from.",
            "example": "https://example.org/input.png",
        }
        content = {JSON: arguments.json({"url": url}), **arguments.forms({"url": url})}
        parameters = arguments.parameters()
        self._post_prediction("predict/url", Capability.PREDICT_URL, "Predict from a URL", content, parameters, 502)

    def _predict(self) -> None:
        arguments = self._arguments(Capability.PREDICT)
        content, parameters = arguments.bodies(), arguments.parameters()
        self._post_prediction("predict", Capability.PREDICT, "Predict from arguments alone", content, parameters)

    def _train(self) -> None:
        arguments = self._arguments(Capability.TRAIN)
        accepted = answer("The training run, which has been put in line.", reference("Run"))
        accepted["headers"] = {"Location": {"description": "Where the run can be read.", "schema": {"type": "string"}}}
        operation = {
            "requestBody": {"content": arguments.bodies(), "required": arguments.required},
            "parameters": [*arguments.parameters(), CONDITION],
            "responses": {"202": accepted, **problems(400, 404, 408, 413, 415, 422, 501, 503)},
        }
        self._add("train", "post", Capability.TRAIN, "Start a training run", operation)
        chosen = {
            "type": "string",
            "nullable": True,
            "example": None,
            "description": "A run that succeeded; null: as it was installed.",
        }
        asked = {**members({"run": chosen}, ["run"]), "additionalProperties": False}
        body = {"content": {JSON: {"schema": asked}}, "required": True}
        ok = answer("What is served now.", members({"serving": {"type": "object"}}, ["serving"]))
        serve = {"requestBody": body, "responses": {"200": ok, **problems(400, 404, 408, 409, 413, 422, 503)}}
        named = {
            "tags": [self._tag],
            "operationId": f"{self._segment}.serve",
            "summary": "Serve an earlier run's model",
        }
        self._spec.path(f"{API}/models/{self._segment}/serve", operations={"post": {**named, **serve}})

    def _arguments(self, capability: Capability, payload: str = "") -> Declared:
        arguments = self._model.arguments_of(capability)
        return Declared(arguments, convert(arguments, self._plugin), payload)

    def _get(self, suffix: str, capability: Capability, summary: str, ok: Json) -> None:
        self._add(suffix, "get", capability, summary, {"responses": {"200": ok, **problems(404, 503)}})

    def _post_prediction(
        self, suffix: str, capability: Capability, summary: str, content: Json, parameters: list[Json], *more: int
    ) -> None:
        statuses = sorted((400, 404, 406, 408, 413, 415, 422, 500, 501, 503, 504, *more))
        operation = {
            "requestBody": {
                "content": content,
                "required": all("required" in _body(kind) for kind in content.values()),
            },
            "parameters": parameters,
            "responses": {"200": self._prediction(capability), **problems(*statuses)},
        }
        self._add(suffix, "post", capability, summary, operation)

    def _prediction(self, capability: Capability) -> Json:
        """What a prediction answers, also in the other media types that a client may choose from."""
        result: Json = {"description": "What the model's function returned."}
        if self._model.response is not None:
            response = Arguments({argument.key: argument for argument in self._model.response})
            required = [key for key, argument in response.items() if argument.required]
            result = members(convert(response, self._plugin), required)
        envelope = {
            "model": {"type": "string", "example": self._model.name},
            "version": {"type": "string", "example": self._model.version},
            "prediction": result,
        }
        ok = answer("The prediction.", members(envelope, ["model", "version", "prediction"]))
        accept = self._model.arguments_of(capability).get("accept")
        for media_type in accept.choices if accept else ():
            if re.fullmatch(r"[\w.+-]+/[\w.+-]+", str(media_type), re.ASCII):
                ok["content"].setdefault(str(media_type), {"schema": FILE})
        return ok

    def _add(self, suffix: str, method: str, capability: Capability, summary: str, operation: Json) -> None:
        path = f"{API}/models/{self._segment}" + (f"/{suffix}" if suffix else "")
        named = {"tags": [self._tag], "operationId": f"{self._segment}.{capability}", "summary": summary}
        self._spec.path(path, operations={method: {**named, **operation}})


def _body(media_type: Json) -> Json:
    """What a request must carry; raw data is all there is, and so is required."""
    schema: Json = media_type["schema"]
    return schema if schema["type"] == "object" else {"required": True}
