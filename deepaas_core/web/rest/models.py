"""Models over the native API: what there is, predict, and train."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.arguments import Argument, Arguments
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.prediction import Prediction
from deepaas_core.serving.catalog import Entry
from deepaas_core.web.auth import visible
from deepaas_core.web.files import safe_type, send_file
from deepaas_core.web.inputs import read_call, read_object, read_timeout, read_values
from deepaas_core.web.keys import CATALOG, PREDICTOR, SCRATCH, TRAINER
from deepaas_core.web.protocol import begun_before
from deepaas_core.web.recording import Recording
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.runs import accepted, read_condition
from deepaas_core.web.rest.streaming import send_pieces
from deepaas_core.web.routes import PREDICT, SEE, TRAIN, get, partly, post
from deepaas_core.web.scratch import Folder

PREFIX = "/api/v1"
MODEL = PREFIX + "/models/{model}"
DATA_ROUTE = MODEL + "/predict/data"
_PREDICTIONS = (
    Capability.PREDICT,
    Capability.PREDICT_DATA,
    Capability.PREDICT_FILE,
    Capability.PREDICT_URL,
)


async def list_models(request: web.Request) -> web.Response:
    """Every model that the caller may know of, whether it can answer or not."""
    entries, problems = visible(request)
    documents = [_document(entry, request) for entry in entries]
    for problem in problems:
        documents.append(
            {
                "name": problem.name,
                "state": "failed",
                "reason": problem.reason,
                "distribution": {"name": problem.distribution},
            }
        )
    return json_response({"models": documents})


async def get_model(request: web.Request) -> web.Response:
    """One model with its metadata."""
    return json_response(_document(request.app[CATALOG].entry(request.match_info["model"]), request))


async def get_train_args(request: web.Request) -> web.Response:
    """What ``train`` can be told."""
    model = request.app[CATALOG].entry(request.match_info["model"]).serving()
    return json_response({"arguments": _arguments(model.arguments_of(Capability.TRAIN))})


async def get_predict_args(request: web.Request) -> web.Response:
    """What the predict functions can be told, together and one by one."""
    model = request.app[CATALOG].entry(request.match_info["model"]).serving()
    offered = {str(capability): model.arguments_of(capability) for capability in _PREDICTIONS}
    together = {key: argument for arguments in offered.values() for key, argument in arguments.items()}
    return json_response(
        {
            "arguments": [_argument(argument) for argument in together.values()],
            "functions": {name: list(arguments) for name, arguments in offered.items() if name in model.capabilities},
        }
    )


async def post_predict(request: web.Request) -> web.StreamResponse:
    """Predict from arguments alone."""
    return await _predict(request, Capability.PREDICT)


async def post_predict_data(request: web.Request) -> web.StreamResponse:
    """Predict from the data in the body."""
    return await _predict(request, Capability.PREDICT_DATA)


async def post_predict_file(request: web.Request) -> web.StreamResponse:
    """Predict from an uploaded file."""
    return await _predict(request, Capability.PREDICT_FILE)


async def post_predict_url(request: web.Request) -> web.StreamResponse:
    """Predict from what a URL leads to."""
    return await _predict(request, Capability.PREDICT_URL)


async def post_train(request: web.Request) -> web.Response:
    """Start a training run."""
    model = request.app[CATALOG].offering(request.match_info["model"], Capability.TRAIN)
    with Folder(request.app[SCRATCH]) as own:
        values = await read_values(request, model, Capability.TRAIN, own)
        await request.app[PREDICTOR].look_at(model, Capability.TRAIN, values)
        run = await request.app[TRAINER].start(model, values, read_condition(request))
    return await accepted(run, request)


async def post_serve(request: web.Request) -> web.Response:
    """Serve the model of an earlier run, or with null the one that was installed."""
    entry = request.app[CATALOG].entry(request.match_info["model"])
    asked = await read_object(request)
    run = asked.get("run")
    if set(asked) != {"run"} or not isinstance(run, str | None):
        raise errors.InvalidInput([errors.Issue("/run", "Must be the id of a run, or null, and nothing else.")])
    served = await request.app[TRAINER].choose(entry.name, run)
    return json_response({"model": entry.name, "serving": {"run": served.run}})


async def _predict(request: web.Request, capability: Capability) -> web.StreamResponse:
    predictor, begun, name = request.app[PREDICTOR], begun_before(request), request.match_info["model"]
    with Folder(request.app[SCRATCH]) as own:
        async with Recording(request, name, capability) as recording:
            if begun is None:
                model = request.app[CATALOG].offering(name, capability)
                timeout_s = read_timeout(request)
                begun = predictor.begin(model, await read_call(request, model, capability, own), timeout_s)
            recording.asks(begun)
            prediction = await predictor.outcome(begun)
            recording.answered(prediction)
        return await _present(prediction, request)


async def _present(prediction: Prediction, request: web.Request) -> web.StreamResponse:
    if prediction.path is not None:
        return await send_file(prediction, request)
    if prediction.pieces is not None:
        return await send_pieces(prediction.pieces, request)
    if prediction.media_type is not None:
        return web.Response(body=prediction.body, headers={"Content-Type": safe_type(prediction.media_type)})
    body = b"%b%b}" % (head_of(prediction.model, prediction.version), prediction.body)
    return web.Response(body=body, content_type="application/json")


@lru_cache(maxsize=1024)
def head_of(model: str, version: str) -> bytes:
    """What stands before the prediction itself in every answer of a model."""
    return orjson.dumps({"model": model, "version": version})[:-1] + b',"prediction":'


def _document(entry: Entry, request: web.Request) -> dict[str, Any]:
    base = f"{_base(request)}{PREFIX}/models/{entry.name}"
    document: dict[str, Any] = {
        "name": entry.name,
        "state": str(entry.state),
        "reason": entry.reason,
        "distribution": {"name": entry.source.distribution, "version": entry.source.version},
        "environment": _environment(entry),
        "serving": {"run": entry.model_dir.parent.name if entry.model_dir else None},
        "links": {"self": base, "train_args": f"{base}/train-args", "predict_args": f"{base}/predict-args"},
    }
    if entry.model is not None:
        document.update(_offered(entry.model))
    return document


def _environment(entry: Entry) -> dict[str, Any]:
    """In which environment and Python a model runs; where that lies is nobody's business."""
    environment = entry.source.environment
    told = entry.model.python if entry.model else ""
    return {
        "name": environment.name if environment else None,
        "python": told or (environment.python if environment else None),
    }


def _offered(model: Model) -> dict[str, Any]:
    return {
        "version": model.version,
        "capabilities": sorted(model.capabilities),
        "metadata": dict(model.metadata),
        "signature": None if model.signature is None else dict(model.signature),
    }


def _arguments(arguments: Arguments) -> list[dict[str, Any]]:
    return [_argument(argument) for argument in arguments.values()]


def _argument(argument: Argument) -> dict[str, Any]:
    """An argument as plain data: its name and kind, and whatever else the author said of it."""
    document: dict[str, Any] = {"name": argument.key, "type": str(argument.kind)}
    plain = Argument(name=argument.name, key=argument.key)
    for item in fields(Argument):
        value = getattr(argument, item.name)
        if item.name in ("name", "key", "kind", "has_default", "default") or value == getattr(plain, item.name):
            continue
        document[item.name] = _plain(value)
    if argument.has_default and not argument.secret:
        document["default"] = argument.default
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, Argument):
        return _argument(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _base(request: web.Request) -> str:
    """What stands before our own paths when the server lives below another path."""
    return request.path[: request.path.index(PREFIX)]


#: The router tries them in this order, so the busiest come first.
ROUTES = [
    post(DATA_ROUTE, post_predict_data, PREDICT),
    post(MODEL + "/predict/file", post_predict_file, PREDICT),
    post(MODEL + "/predict/url", post_predict_url, PREDICT),
    post(MODEL + "/predict", post_predict, PREDICT),
    get(PREFIX + "/models", list_models, partly(SEE)),
    get(MODEL, get_model, SEE),
    get(MODEL + "/train-args", get_train_args, SEE),
    get(MODEL + "/predict-args", get_predict_args, SEE),
    post(MODEL + "/train", post_train, TRAIN),
    post(MODEL + "/serve", post_serve, TRAIN),
]
