"""Services as documents tell of them: what they say of themselves, and what is known of their functions."""

from __future__ import annotations

from deepaas_core.serving.services import Live
from deepaas_core.web.openapi.endpoint_routes import Described
from deepaas_core.web.samples.requests import arguments_of


def described(live: Live) -> Described:
    """A generation for a document; what does not run right now keeps its functions' arguments to itself."""
    known = {name: arguments_of(live, endpoint) for name, endpoint in live.definition.endpoints.items()}
    arguments = {name: one for name, one in known.items() if one is not None}
    return Described(live.service, live.version, live.definition, arguments)
