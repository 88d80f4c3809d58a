"""The APIs of DEEPaaS beside our own, for the clients that were written for it.

The same models, the same predictions and the same training runs as under ``/api/v1``, in the words of DEEPaaS: paths,
statuses, bodies, and how arguments are looked for and read. Version 2 is there by default; version 1, in either of the
forms that it had, is switched on by a setting.
"""

from __future__ import annotations

from aiohttp.typedefs import Middleware

from deepaas_core.settings import Deepaas
from deepaas_core.web.deepaas import debugging, models, swagger, trainings, v1, versions
from deepaas_core.web.deepaas.answers import Handler, speaking
from deepaas_core.web.routes import READ, SEE, Route, get_alone, partly

__all__ = ["get_root", "middleware", "prepare", "routes"]

get_root = versions.get_versions
prepare = debugging.prepare


def routes(settings: Deepaas, docs: Handler) -> list[Route]:
    """What the settings ask for.

    Args:
        settings: Which versions are spoken, and what of them is switched off.
        docs: Shows Swagger UI over ``swagger.json``.
    """
    found: list[Route] = []
    if settings.v2:
        found += [*versions.ROUTES, *models.ROUTES, *trainings.ROUTES, *swagger.ROUTES]
        if settings.debug_endpoint:
            found.append(get_alone("/v2/debug/", debugging.get_debug, READ))
        else:
            found.append(get_alone("/v2/debug/", debugging.get_nothing, partly(SEE)))
        if settings.doc_endpoint:
            found += [
                get_alone("/api", docs, partly(SEE)),
                get_alone("/ui", swagger.redirect_to_docs, partly(SEE)),
            ]
    return [*found, *v1.ROUTES.get(settings.v1, [])]


def middleware(settings: Deepaas, base: str) -> Middleware:
    """What puts errors of these routes, and of paths that lead nowhere beside them, into DEEPaaS's words.

    Args:
        settings: Which versions are spoken.
        base: The path below which everything is served, without a slash at its end.
    """
    beside = {"0.x": "/models", "1.x": "/v1"}.get(settings.v1)
    prefixes = [base + prefix for prefix in (settings.v2 and "/v2", beside) if prefix]
    return speaking(prefixes, {base + "/models"} if beside == "/models" else set())
