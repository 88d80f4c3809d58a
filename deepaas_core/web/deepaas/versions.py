"""Which versions of the API are spoken."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from deepaas_core.web.deepaas.answers import json_response, redirected
from deepaas_core.web.keys import SETTINGS
from deepaas_core.web.routes import SEE, get_alone, partly


def base_of(request: web.Request) -> str:
    """The path below which everything is served."""
    return request.app[SETTINGS].web.base_path.rstrip("/")


def version_2(base: str) -> dict[str, Any]:
    """Version 2 as lists of versions have it."""
    return _version("stable", "v2", f"{base}/v2/")


def _version(state: str, name: str, path: str) -> dict[str, Any]:
    return {"version": state, "id": name, "links": [{"rel": "self", "type": "application/json", "href": path}]}


async def get_versions(request: web.Request) -> web.Response:
    """The versions, and where they are described."""
    base, settings = base_of(request), request.app[SETTINGS].deepaas
    versions = [_version("deprecated", "v1", f"{base}/v1/")] if settings.v1 == "1.x" else []
    links = [{"rel": "describedby", "type": "application/json", "href": f"{base}/swagger.json"}]
    if settings.doc_endpoint:
        links.insert(0, {"rel": "help", "type": "text/html", "href": f"{base}/api"})
    return json_response({"versions": [*versions, version_2(base)], "links": links})


async def get_version_1(request: web.Request) -> web.Response:
    """Version 1, where it is spoken."""
    return json_response(_version("deprecated", "v1", f"{base_of(request)}/v1/"))


async def get_version_2(request: web.Request) -> web.Response:
    """Version 2."""
    return json_response(version_2(base_of(request)))


async def with_slash(request: web.Request) -> web.Response:
    """Send on who has left out the slash at the end, in a way that keeps method and body."""
    query = request.rel_url.raw_query_string
    return redirected(308, f"{request.rel_url.raw_path}/{'?' + query if query else ''}")


ROUTES = [
    get_alone("/v2/", get_version_2, partly(SEE)),
    get_alone("/v2", with_slash, partly(SEE)),
    get_alone("/v2/debug", with_slash, partly(SEE)),
]
