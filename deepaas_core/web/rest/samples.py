"""Sample code over the native API: programs that call a service or a model, to be pasted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.access import Right
from deepaas_core.web import addresses
from deepaas_core.web.auth import needs_token
from deepaas_core.web.keys import CATALOG, SERVICES
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.runs import PREFIX
from deepaas_core.web.routes import SEE, get
from deepaas_core.web.samples import LANGUAGES, Asked, write, write_all
from deepaas_core.web.samples.requests import of_endpoint, of_model

_ADDRESS = re.compile(r"[!#$%&()*+,\-./:;=?@\[\]_~0-9A-Za-z]{1,1000}")


async def get_service_samples(request: web.Request) -> web.Response:
    """Programs that ask an endpoint of a service."""
    service, origin = request.match_info["service"], _origin(request)
    live, token = request.app[SERVICES].shown(service), needs_token(request, Right.PREDICT, service)
    endpoints = live.definition.endpoints
    made = {name: of_endpoint(live, endpoint, origin, token) for name, endpoint in endpoints.items()}
    asked = {name: one for name, one in made.items() if one is not None}
    return _present(request, {"service": service, "generation": live.version}, asked, "endpoint", list(endpoints))


async def get_model_samples(request: web.Request) -> web.Response:
    """Programs that ask a function of a model."""
    model = request.app[CATALOG].entry(request.match_info["model"]).serving()
    asked = dict(of_model(model, _origin(request), needs_token(request, Right.PREDICT, model.name)))
    return _present(request, {"model": model.name}, asked, "function", sorted(model.capabilities))


def _present(
    request: web.Request, about: Mapping[str, str], asked: Mapping[str, Asked], what: str, known: Sequence[str]
) -> web.Response:
    language, name = request.query.get("language"), request.query.get(what)
    if language is not None and language not in LANGUAGES:
        raise errors.InvalidInput([errors.Issue("/language", f"Must be one of: {', '.join(LANGUAGES)}.")])
    if name is not None and name not in known:
        raise errors.InvalidInput([errors.Issue(f"/{what}", f"Must be one of: {', '.join(known)}.")])
    chosen = name or next(iter(asked), "")
    if chosen not in asked:
        raise errors.SampleNotFound(next(iter(about.values())), chosen)
    if language is not None:
        return web.Response(
            text=write(language, asked[chosen]),
            content_type="text/plain",
            charset="utf-8",
            headers={"X-Content-Type-Options": "nosniff"},
        )
    return json_response({**about, what: chosen, "samples": write_all(asked[chosen]), f"{what}s": list(asked)})


def _origin(request: web.Request) -> str:
    """The address of the server that the caller wants to read in the samples."""
    wanted = request.query.get("server")
    if wanted is None:
        return addresses.origin(request)
    try:
        parts = urlsplit(wanted)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    except ValueError:
        usable = False
    if not usable or not _ADDRESS.fullmatch(wanted):
        raise errors.InvalidInput([errors.Issue("/server", "Must be the address of this server, percent-encoded.")])
    return wanted.rstrip("/")


ROUTES = [
    get(PREFIX + "/services/{service}/samples", get_service_samples, SEE),
    get(PREFIX + "/models/{model}/samples", get_model_samples, SEE),
]
