"""Services as documents tell of them: what they say of themselves, and what is known of their functions."""

from __future__ import annotations

from contextlib import suppress

from deepaas_core import errors
from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.model import Capability
from deepaas_core.serving.services import Live
from deepaas_core.web.openapi.endpoint_routes import Described


def described(live: Live) -> Described:
    """A generation for a document; what does not run right now keeps its functions' arguments to itself."""
    arguments = {}
    for name, endpoint in live.definition.endpoints.items():
        with suppress(errors.DeepaasError):
            if endpoint.targets:
                _, model = live.part(name)
                arguments[name] = model.arguments.get(Capability.PREDICT, Arguments())
    return Described(live.service, live.version, live.definition, arguments)
