"""Version 1, in both forms that it had: of DEEPaaS 0.x at ``/models``, and of DEEPaaS 1.x at ``/v1/models``.

Both predict from one file in the field ``data``, or from ``url``, and train while the client waits. They differ in
their paths and in how an error looks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.training import RunState
from deepaas_core.executors.base import Call
from deepaas_core.web import fetch
from deepaas_core.web.auth import visible
from deepaas_core.web.deepaas.answers import Handler, json_response, switched_off
from deepaas_core.web.deepaas.models import describe, present
from deepaas_core.web.deepaas.reading import Sent, check, gather
from deepaas_core.web.deepaas.versions import base_of, get_version_1, with_slash
from deepaas_core.web.keys import CATALOG, GUARD, PREDICTOR, SCRATCH, SETTINGS, TRAINER
from deepaas_core.web.recording import Recording
from deepaas_core.web.routes import PREDICT, SEE, TRAIN, Route, get, get_alone, partly, post, put
from deepaas_core.web.scratch import Folder

NEITHER = "You must provide either 'url' or 'data' in the payload"


async def list_models(request: web.Request, prefix: str) -> web.Response:
    """Every model."""
    here, (entries, _) = f"{base_of(request)}{prefix}/models", visible(request)
    return json_response({"models": [describe(entry, f"{here}/{entry.name}") for entry in entries]})


async def get_model(request: web.Request, prefix: str) -> web.Response:
    """One model."""
    entry = request.app[CATALOG].entry(request.match_info["model"])
    return json_response(describe(entry, f"{base_of(request)}{prefix}/models/{entry.name}"))


async def post_predict(request: web.Request) -> web.StreamResponse:
    """Predict from a file or from a URL."""
    if not request.app[SETTINGS].deepaas.predict_endpoint:
        return switched_off()
    with Folder(request.app[SCRATCH]) as own:
        sent = await gather(request, own)
        model, call = await _call(request, sent)
        async with Recording(request, model.name, call.hook) as recording:
            prediction = await recording.predict(model, call)
        return await present(prediction, request, enveloped=False)


async def put_train(request: web.Request) -> web.StreamResponse:
    """Train, and answer when that is over."""
    if not request.app[SETTINGS].deepaas.train_endpoint:
        return switched_off()
    model, trainer = request.app[CATALOG].offering(request.match_info["model"], Capability.TRAIN), request.app[TRAINER]
    with Folder(request.app[SCRATCH]) as own:
        sent = await gather(request, own)
        values = check(model.arguments_of(Capability.TRAIN), sent)
        await request.app[PREDICTOR].look_at(model, Capability.TRAIN, values)
        run = await trainer.start(model, values)
    run = await trainer.settled(run.id)
    if run.state is RunState.SUCCEEDED:
        return json_response(run.result)
    if run.state is RunState.CANCELLED:
        raise errors.Conflict(f"Training {run.id} was cancelled.")
    assert run.error is not None
    raise errors.ModelFailure(model.name, run.error.kind, run.error.message, run.error.traceback)


async def _call(request: web.Request, sent: Sent) -> tuple[Model, Call]:
    """The call that a request asks for, of whichever function fits what it carries."""
    name, catalog = request.match_info["model"], request.app[CATALOG]
    catalog.entry(name)
    files, urls = sent.files.get("data", []), _urls(sent)
    if bool(files) == bool(urls):
        raise errors.ModelRefusal(name, 400, "Bad Request", NEITHER)
    if urls:
        model, hook = catalog.offering(name, Capability.PREDICT_URL), Capability.PREDICT_URL
        payload, body = {"url": urls[0], "urls": urls}, b""
    else:
        file, hook = files[0], Capability.PREDICT_DATA
        offered = catalog.entry(name).serving().capabilities
        if hook not in offered and Capability.PREDICT_FILE in offered:
            hook = Capability.PREDICT_FILE
        model = catalog.offering(name, hook)
        payload = {"filename": file["original_filename"], "content_type": file["content_type"]}
        if hook is Capability.PREDICT_FILE:
            payload, body = {**payload, "path": file["filename"]}, b""
        else:
            payload, body = {**payload, "form": "bytes"}, Path(file["filename"]).read_bytes()
    values = check(model.arguments_of(hook), sent)
    for url in urls:
        await fetch.check(url, request.app[GUARD])
    return model, Call(hook, values, payload, body)


def _urls(sent: Sent) -> list[str]:
    fields = (sent.request.query, sent.form)
    texts = next((found for each in fields if (found := each.getall("url", []))), sent.members.get("url") or [])
    return [str(text) for text in (texts if isinstance(texts, list) else [texts]) if text]


def telling_the_first(hook: Capability, handler: Handler) -> Handler:
    """The handler, which says of wrong arguments what version 0 did: the first, with its author's explanation."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except errors.InvalidInput as error:
            model = request.app[CATALOG].entry(request.match_info["model"]).serving()
            offered = [found for capability, found in model.arguments.items() if capability.startswith(hook)]
            first = error.issues[0]
            name = first.pointer.split("/")[1] if first.pointer else ""
            help_ = next((arguments[name].help for arguments in offered if name in arguments), "")
            said = {"errors": {name: f"{help_} {first.detail}".strip()}, "message": "Input payload validation failed"}
            return web.Response(body=orjson.dumps(said), status=400, content_type="application/json")

    return handle


def options_of(*methods: str) -> Handler:
    """What a path lets one do, as Flask told it."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(headers={"Allow": ", ".join(methods), "Content-Type": "text/html; charset=utf-8"})

    return handle


def _as_flask_had_it(shown: list[Route]) -> list[Route]:
    """The routes, which also answer OPTIONS."""
    more: list[Route] = []
    for route in shown:
        methods = ("GET", "HEAD") if route.answers_head else (route.method,)
        more.append(Route("OPTIONS", route.path, options_of(*methods, "OPTIONS"), route.needs))
    return [*shown, *more]


_V0, _V1 = "/models", "/v1/models"

#: By the setting that asks for them.
ROUTES: dict[str, list[Route]] = {
    "0.x": _as_flask_had_it(
        [
            get(_V0 + "/", partial(list_models, prefix=""), partly(SEE)),
            get(_V0, with_slash, partly(SEE)),
            get(_V0 + "/{model}", partial(get_model, prefix=""), SEE),
            post(_V0 + "/{model}/predict", telling_the_first(Capability.PREDICT, post_predict), PREDICT),
            put(_V0 + "/{model}/train", telling_the_first(Capability.TRAIN, put_train), TRAIN),
        ]
    ),
    "1.x": [
        get_alone("/v1/", get_version_1, partly(SEE)),
        get_alone("/v1", with_slash, partly(SEE)),
        get_alone(_V1, partial(list_models, prefix="/v1"), partly(SEE)),
        get_alone(_V1 + "/{model}", partial(get_model, prefix="/v1"), SEE),
        post(_V1 + "/{model}/predict", post_predict, PREDICT),
        put(_V1 + "/{model}/train", put_train, TRAIN),
    ],
}
