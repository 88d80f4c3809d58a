"""Addresses of this server, as those who call it may use them."""

from __future__ import annotations

from aiohttp import web

from deepaas_core.web.keys import SETTINGS


def origin(request: web.Request) -> str:
    """Where this connection came in, and the path below which everything lies.

    What a client says of it is not believed; whoever knows better, as a browser's script or a command does, puts the
    address there that it used itself.
    """
    name = request.transport.get_extra_info("sockname") if request.transport else None
    host, port = name[:2] if isinstance(name, tuple) else ("127.0.0.1", 5000)
    base = request.app[SETTINGS].web.base_path.rstrip("/")
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{base}"
