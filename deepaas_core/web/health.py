"""Whether the server lives, and whether every model can answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from deepaas_core.executors.base import ExecutorState
from deepaas_core.serving.services import Services
from deepaas_core.web.auth import caller, visible
from deepaas_core.web.keys import CATALOG, SERVICES
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.routes import NOTHING, get

_ALIVE = b'{"status":"alive"}'


async def get_livez(_: web.Request) -> web.Response:
    """The process runs and its event loop turns."""
    return web.Response(body=_ALIVE, content_type="application/json", headers={"Cache-Control": "no-store"})


async def get_readyz(request: web.Request) -> web.Response:
    """Ready when every declared model can answer; says which cannot, and why, of those the caller may know of."""
    models: dict[str, Any] = {}
    entries, problems = visible(request)
    for entry in entries:
        models[entry.name] = {"state": str(entry.state)}
        if entry.reason:
            models[entry.name]["reason"] = entry.reason
    for problem in problems:
        models[problem.name] = {"state": "failed", "reason": problem.reason, "distribution": problem.distribution}
    services = request.app[SERVICES]
    ready = request.app[CATALOG].ready() and services.ready()
    named = {name: _generations(services, name) for name in services.names() if caller(request).sees(name)}
    return _readiness(ready, models, {"services": named} if named else {})


async def get_model_readyz(request: web.Request) -> web.Response:
    """Ready when this one model can answer."""
    entry = request.app[CATALOG].entry(request.match_info["model"])
    models: dict[str, Any] = {}
    if caller(request).sees(entry.name):
        models[entry.name] = {"state": str(entry.state), "reason": entry.reason}
    return _readiness(entry.state is ExecutorState.READY, models)


def _generations(services: Services, service: str) -> dict[str, Any]:
    """How each generation of a service is that is live."""
    states = {version: services.state(service, version) for version in services.standing(service).deployment.live}
    return {version: {"state": str(state), "reason": reason} for version, (state, reason) in states.items()}


def _readiness(ready: bool, models: dict[str, Any], more: Mapping[str, Any] = MappingProxyType({})) -> web.Response:
    document = {"status": "ready" if ready else "not ready", "models": models, **more}
    return json_response(document, status=200 if ready else 503)


ROUTES = [
    get("/livez", get_livez, NOTHING),
    get("/readyz", get_readyz, NOTHING),
    get("/readyz/{model}", get_model_readyz, NOTHING),
]
