"""Whether the server lives, and whether every model can answer."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from deepaas_core.executors.base import ExecutorState
from deepaas_core.web.keys import CATALOG
from deepaas_core.web.rest.answers import json_response

_ALIVE = b'{"status":"alive"}'


async def get_livez(_: web.Request) -> web.Response:
    """The process runs and its event loop turns."""
    return web.Response(body=_ALIVE, content_type="application/json", headers={"Cache-Control": "no-store"})


async def get_readyz(request: web.Request) -> web.Response:
    """Ready when every declared model can answer; says which cannot, and why."""
    catalog = request.app[CATALOG]
    models: dict[str, Any] = {}
    for entry in catalog.entries():
        models[entry.name] = {"state": str(entry.state)}
        if entry.reason:
            models[entry.name]["reason"] = entry.reason
    for problem in catalog.problems:
        models[problem.name] = {"state": "failed", "reason": problem.reason, "distribution": problem.distribution}
    return _readiness(catalog.ready(), models)


async def get_model_readyz(request: web.Request) -> web.Response:
    """Ready when this one model can answer."""
    entry = request.app[CATALOG].entry(request.match_info["model"])
    return _readiness(
        entry.state is ExecutorState.READY, {entry.name: {"state": str(entry.state), "reason": entry.reason}}
    )


def _readiness(ready: bool, models: dict[str, Any]) -> web.Response:
    document = {"status": "ready" if ready else "not ready", "models": models}
    return json_response(document, status=200 if ready else 503)


ROUTES = [
    web.get("/livez", get_livez),
    web.get("/readyz", get_readyz),
    web.get("/readyz/{model}", get_model_readyz),
]
