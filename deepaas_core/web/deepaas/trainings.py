"""Training runs in the words of DEEPaaS.

A run that is cancelled is forgotten here, as DEEPaaS forgets it; the native API still has its record and its log.
One that is over by itself is deleted for good by the same request.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.training import Run, RunState
from deepaas_core.errors import RunAlreadyOver, RunNotFound
from deepaas_core.web.deepaas.answers import Handler, json_response, switched_off
from deepaas_core.web.deepaas.models import MODEL
from deepaas_core.web.deepaas.reading import read_values
from deepaas_core.web.deepaas.versions import with_slash
from deepaas_core.web.keys import CATALOG, PREDICTOR, SCRATCH, SETTINGS, TRAINER
from deepaas_core.web.routes import READ, SEE, TRAIN, delete, get_alone, post
from deepaas_core.web.scratch import Folder

#: The newest so many are listed.
MAX_LISTED = 1000
_STATUS = {
    RunState.QUEUED: "running",
    RunState.RUNNING: "running",
    RunState.SUCCEEDED: "done",
    RunState.FAILED: "error",
    RunState.INTERRUPTED: "error",
    RunState.CANCELLED: "cancelled",
}


def offered(handler: Handler) -> Handler:
    """The handler, unless the operator has switched trainings off."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request) if request.app[SETTINGS].deepaas.train_endpoint else switched_off()

    return handle


async def post_train(request: web.Request) -> web.Response:
    """Start a training."""
    model = request.app[CATALOG].offering(request.match_info["model"], Capability.TRAIN)
    with Folder(request.app[SCRATCH]) as own:
        values = await read_values(request, model, Capability.TRAIN, own)
        await request.app[PREDICTOR].look_at(model, Capability.TRAIN, values)
        run = await request.app[TRAINER].start(model, values)
    return json_response(describe(run, model))


async def list_trainings(request: web.Request) -> web.Response:
    """All trainings of a model, in the order in which they were asked for."""
    entry, trainer = request.app[CATALOG].entry(request.match_info["model"]), request.app[TRAINER]
    runs = [
        # A list leaves out long results.
        await trainer.get(run.id) if run.state is RunState.SUCCEEDED and run.result is None else run
        for run in reversed(await trainer.list(model=entry.name, limit=MAX_LISTED))
        if run.state is not RunState.CANCELLED
    ]
    return json_response([describe(run, entry.model) for run in runs])


async def get_training(request: web.Request) -> web.Response:
    """One training."""
    entry = request.app[CATALOG].entry(request.match_info["model"])
    return json_response(describe(await _find(request), entry.model))


async def delete_training(request: web.Request) -> web.Response:
    """Cancel a training, or delete one that is over; either way it is gone from here."""
    entry, trainer = request.app[CATALOG].entry(request.match_info["model"]), request.app[TRAINER]
    run = await _find(request)
    if not run.state.over:
        try:
            return json_response(describe(await trainer.cancel(run.id), entry.model))
        except RunAlreadyOver:
            run = await trainer.get(run.id)
    await trainer.purge(run.id)
    return json_response(describe(run, entry.model))


async def _find(request: web.Request) -> Run:
    text = request.match_info["run"]
    try:
        run = await request.app[TRAINER].get(uuid.UUID(text).hex)
    except ValueError:
        raise RunNotFound(text) from None
    if run.model != request.match_info["model"] or run.state is RunState.CANCELLED:
        raise RunNotFound(text)
    return run


def describe(run: Run, model: Model | None) -> dict[str, Any]:
    """A training as its document.

    Args:
        run: The training.
        model: What is trained, which knows its arguments by other names than requests do; None if it is not there.
    """
    arguments = model.arguments_of(Capability.TRAIN) if model else Arguments()
    names = {key: argument.name for key, argument in arguments.items()}
    document: dict[str, Any] = {
        "date": _local(run.created_at),
        "args": {names.get(key, key): value for key, value in run.arguments.items()},
        "uuid": run.id,
        "status": _STATUS[run.state],
    }
    if run.state is RunState.SUCCEEDED and run.finished_at is not None:
        duration = timedelta(seconds=run.duration_s or 0)
        document["result"] = {
            "output": run.result,
            "finish_date": _local(run.finished_at),
            "duration": str(duration),
        }
    if document["status"] == "error":
        document["message"] = run.error.message if run.error else ""
    return document


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")


_TRAININGS = MODEL + "/train/"
_TRAINING = _TRAININGS + "{run}"

ROUTES = [
    post(_TRAININGS, offered(post_train), TRAIN),
    get_alone(_TRAININGS, offered(list_trainings), READ),
    post(_TRAININGS[:-1], with_slash, SEE),
    get_alone(_TRAININGS[:-1], with_slash, SEE),
    get_alone(_TRAINING, offered(get_training), READ),
    delete(_TRAINING, offered(delete_training), TRAIN),
]
