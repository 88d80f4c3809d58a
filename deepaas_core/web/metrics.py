"""The page that Prometheus reads."""

from __future__ import annotations

from aiohttp import web

from deepaas_core.web.keys import SCRAPE
from deepaas_core.web.routes import READ, get


async def get_metrics(request: web.Request) -> web.Response:
    """How often, how long, how many: of the whole server, whichever of its processes answers."""
    body, content_type = await request.app[SCRAPE](request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


ROUTES = [get("/metrics", get_metrics, READ)]
