"""Documents for machines: the OpenAPI document of one service, and the schema of ``service.toml``."""

from __future__ import annotations

from aiohttp import web

from deepaas_core.publishing.grammar import SCHEMA
from deepaas_core.web import openapi
from deepaas_core.web.describing import described
from deepaas_core.web.keys import GATEKEEPER, SERVICES, SETTINGS
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.runs import PREFIX
from deepaas_core.web.rest.services import GENERATION, SERVICE
from deepaas_core.web.routes import SEE, get, partly


async def get_service_openapi(request: web.Request) -> web.Response:
    """The OpenAPI document of a service: every endpoint with what it takes and gives."""
    info, settings = request.match_info, request.app[SETTINGS]
    live = request.app[SERVICES].shown(info["service"], info.get("version"))
    document = openapi.build_service(
        described(live),
        base_path=settings.web.base_path.rstrip("/"),
        tokens=request.app[GATEKEEPER].asks,
        cookie=settings.access.cookie,
    )
    response = json_response(document)
    response.headers["X-Service-Generation"] = live.version
    return response


async def get_schema(request: web.Request) -> web.Response:
    """The JSON Schema of ``service.toml``, for editors."""
    response = json_response(SCHEMA)
    response.content_type = "application/schema+json"
    return response


ROUTES = [
    get(SERVICE + "/openapi.json", get_service_openapi, SEE),
    get(GENERATION + "/openapi.json", get_service_openapi, SEE),
    get(PREFIX + "/schemas/service.json", get_schema, partly(SEE)),
]
