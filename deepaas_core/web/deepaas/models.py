"""Models in the words of DEEPaaS: what there is, and predict."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from deepaas_core.domain.model import Capability
from deepaas_core.domain.prediction import Prediction
from deepaas_core.executors.base import Call
from deepaas_core.serving.catalog import Entry
from deepaas_core.web.auth import visible
from deepaas_core.web.deepaas.answers import json_body, json_response, switched_off
from deepaas_core.web.deepaas.reading import read_values
from deepaas_core.web.deepaas.versions import base_of, with_slash
from deepaas_core.web.files import safe_type, send_file
from deepaas_core.web.keys import CATALOG, SCRATCH, SETTINGS
from deepaas_core.web.recording import Recording
from deepaas_core.web.routes import PREDICT, SEE, get_alone, partly, post
from deepaas_core.web.scratch import Folder

MODEL = "/v2/models/{model}"


def describe(entry: Entry, address: str) -> dict[str, Any]:
    """A model's metadata, the author's words over ours.

    Args:
        entry: The model.
        address: Where it is.
    """
    document: dict[str, Any] = {"id": entry.name, "name": entry.name, "links": [{"rel": "self", "href": address}]}
    if entry.model is None:
        return document
    said = dict(entry.model.metadata)
    if Capability.METADATA not in entry.model.capabilities:
        said.pop("name", None)  # the distribution's, which no client could ask for
    return {**document, **said}


async def list_models(request: web.Request) -> web.Response:
    """Every model."""
    here, (entries, _) = f"{base_of(request)}/v2/models", visible(request)
    return json_response({"models": [describe(entry, f"{here}/{entry.name}") for entry in entries]})


async def get_model(request: web.Request) -> web.Response:
    """One model."""
    entry = request.app[CATALOG].entry(request.match_info["model"])
    return json_response(describe(entry, f"{base_of(request)}/v2/models/{entry.name}"))


async def post_predict(request: web.Request) -> web.StreamResponse:
    """Predict."""
    if not request.app[SETTINGS].deepaas.predict_endpoint:
        return switched_off()
    model = request.app[CATALOG].offering(request.match_info["model"], Capability.PREDICT)
    with Folder(request.app[SCRATCH]) as own:
        async with Recording(request, model.name, Capability.PREDICT) as recording:
            values = await read_values(request, model, Capability.PREDICT, own)
            prediction = await recording.predict(model, Call(Capability.PREDICT, values))
        return await present(prediction, request, enveloped=model.response is None)


async def present(prediction: Prediction, request: web.Request, *, enveloped: bool) -> web.StreamResponse:
    """An answer: a body of its own media type as it is, else JSON, which may get an envelope."""
    if prediction.path is not None:
        return await send_file(prediction, request)
    if prediction.media_type is not None:
        response = web.Response(body=prediction.body, headers={"Content-Type": safe_type(prediction.media_type)})
    else:
        response = json_body(b'{"status":"OK","predictions":%b}' % prediction.body if enveloped else prediction.body)
    response.set_status(prediction.status or 200)
    for name, text in prediction.headers:
        response.headers.add(name, text)
    return response


ROUTES = [
    get_alone("/v2/models/", list_models, partly(SEE)),
    get_alone("/v2/models", with_slash, partly(SEE)),
    get_alone(MODEL + "/", get_model, SEE),
    get_alone(MODEL, with_slash, SEE),
    post(MODEL + "/predict/", post_predict, PREDICT),
    post(MODEL + "/predict", with_slash, SEE),
]
