"""The pages for people: what is installed here, and Swagger UI to try it.

Both are served from this process alone: no page loads anything from another host, and the content security policy
forbids it should one ever ask to. Swagger UI's own files come from the installed package ``swagger-ui-py``. What
models and packages say of themselves is text from strangers; the templates escape all of it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import orjson
from aiohttp import ETag, web

from deepaas_core import __version__
from deepaas_core.domain.access import Right
from deepaas_core.serving.catalog import Catalog
from deepaas_core.web import addresses, openapi
from deepaas_core.web.auth import caller, needs_token, visible
from deepaas_core.web.describing import described
from deepaas_core.web.keys import CATALOG, GATEKEEPER, SERVICES, SETTINGS
from deepaas_core.web.routes import READ, SEE, get, partly
from deepaas_core.web.samples.requests import of_model
from deepaas_core.web.ui import services, statistics
from deepaas_core.web.ui.cards import Card, card

if TYPE_CHECKING:
    from jinja2 import Environment

TITLE = "DEEPaaS core"

_HERE = Path(__file__).parent
_OURS = {
    f"{name}.{kind}": media_type
    for name in ("pages", "docs", "service")
    for kind, media_type in (("css", "text/css"), ("js", "text/javascript"))
} | {"statistics.css": "text/css"}
_SWAGGER = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}

_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
#: Swagger UI writes style attributes, inlines its icons, and shows what it downloads from object URLs.
_DOCS_POLICY = _POLICY + (
    "script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:"
)
_LANDING_POLICY = _POLICY + "script-src 'self'; style-src 'self'; img-src 'self' data:"
#: READMEs may have pictures inside; a row can be tried.
_SERVICE_POLICY = _POLICY + "script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
_STATISTICS_POLICY = _POLICY.replace("form-action 'none'", "form-action 'self'") + "style-src 'self'; img-src 'self'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


async def get_landing(request: web.Request) -> web.Response:
    """List the models, with commands to copy."""
    entries, problems = visible(request)
    cards = [card(entry) for entry in entries]
    cards += [Card.refused(problem.name, problem.distribution, problem.reason) for problem in problems]
    published, sees = request.app[SERVICES], caller(request).sees
    offered = [services.card(published, name) for name in published.names() if sees(name)]
    shown = {"cards": cards, "services": offered, "origin": addresses.origin(request)}
    may_read = partial(caller(request).may, Right.READ)
    page = _template("landing.html", **shown, may_read=may_read, server_version=__version__)
    return _page(page, _LANDING_POLICY)


async def get_service(request: web.Request) -> web.Response:
    """What there is to know of a service, with programs that call it and a form to try it."""
    page = _template("service.html", **await services.values_of(request), server_version=__version__)
    return _page(page, _SERVICE_POLICY)


async def get_model(request: web.Request) -> web.Response:
    """Programs that call a model."""
    entry = request.app[CATALOG].entry(request.match_info["model"])
    token, origin = needs_token(request, Right.PREDICT, entry.name), addresses.origin(request)
    asked = of_model(entry.model, origin, token) if entry.model else ()
    functions = [(name, one.url.removeprefix(origin), services.samples_of(one, origin)) for name, one in asked]
    may_read = caller(request).may(Right.READ, entry.name)
    shown = {
        "card": card(entry),
        "functions": functions,
        "token": token,
        "origin": origin,
        "may_read": may_read,
    }
    return _page(_template("model.html", **shown, server_version=__version__), _SERVICE_POLICY)


async def get_statistics(request: web.Request) -> web.Response:
    """What a model or a service has predicted."""
    contents = await statistics.contents(request)
    return _page(_template("statistics.html", server_version=__version__, **contents), _STATISTICS_POLICY)


async def get_docs(request: web.Request) -> web.Response:
    """Swagger UI."""
    return _page(_template("docs.html", document="openapi.json", server_version=__version__), _DOCS_POLICY)


async def get_deepaas_docs(request: web.Request) -> web.Response:
    """Swagger UI over the document of DEEPaaS's API."""
    return _page(_template("docs.html", document="swagger.json", server_version=__version__), _DOCS_POLICY)


async def get_asset(request: web.Request) -> web.StreamResponse:
    """One of the files that the pages are made of; no other name leads anywhere."""
    name = request.match_info["name"]
    if name in _OURS:
        path, media_type = _HERE / "static" / name, _OURS[name]
    elif name in _SWAGGER:
        path, media_type = _swagger_folder() / name, _SWAGGER[name]
    else:
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={**_HEADERS, "Content-Type": f"{media_type}; charset=utf-8"})


async def get_openapi(request: web.Request) -> web.Response:
    """The OpenAPI document of what the caller may know of."""
    document = _document(request)
    if any(tag.value in (document.etag, "*") for tag in request.if_none_match or ()):
        response = web.Response(status=304, headers=_HEADERS)
    else:
        response = web.Response(body=document.body, content_type="application/json", headers=_HEADERS)
    response.etag = ETag(document.etag)
    return response


@dataclass(frozen=True)
class _Document:
    """An encoded OpenAPI document."""

    body: bytes
    etag: str


#: Documents by what they depend on besides the models themselves; as many as are kept at once.
_documents: WeakKeyDictionary[Catalog, tuple[int, dict[object, _Document]]] = WeakKeyDictionary()
_MAX_DOCUMENTS = 32


def _document(request: web.Request) -> _Document:
    """The document, made anew only when the catalog has changed, or for somebody who sees something else of it."""
    catalog, asks = request.app[CATALOG], request.app[GATEKEEPER].asks
    revision, made = _documents.get(catalog, (-1, {}))
    if revision != catalog.revision or len(made) > _MAX_DOCUMENTS:
        _documents[catalog] = revision, made = catalog.revision, {}
    models = [entry.model for entry in visible(request)[0] if entry.model is not None]
    published, sees = request.app[SERVICES], caller(request).sees
    names = [name for name in published.names() if sees(name) and published.standing(name).kept]
    key = (asks, tuple(model.name for model in models), published.revision, tuple(names))
    if key not in made:
        settings = request.app[SETTINGS]
        base, cookie = settings.web.base_path.rstrip("/"), settings.access.cookie
        offered = [described(published.shown(name)) for name in names]
        about = {"title": TITLE, "version": __version__, "base_path": base, "cookie": cookie}
        document = openapi.build(models, offered, tokens=asks, **about)
        body = orjson.dumps(document)
        made[key] = _Document(body, hashlib.sha256(body).hexdigest()[:32])
    return made[key]


def _page(text: str, policy: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers={**_HEADERS, "Content-Security-Policy": policy})


def _template(name: str, /, **values: object) -> str:
    return _templates().get_template(name).render(title=TITLE, **values)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # 40 ms that no start should wait for

    loader = FileSystemLoader(_HERE / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _swagger_folder() -> Path:
    """Where the package keeps Swagger UI's files; it is found, not imported, for it brings every web framework."""
    found = importlib.util.find_spec("swagger_ui")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations))) / "static"


ROUTES = [
    get("/docs", get_docs, partly(SEE)),
    get("/docs/{name}", get_asset, partly(SEE)),
    get("/openapi.json", get_openapi, partly(SEE)),
    get("/services/{service}", get_service, SEE),
    get("/statistics/{model}", get_statistics, READ),
    get("/models/{model}", get_model, SEE),
]
