"""``deepaas-core samples``: programs that call a service or a model of a running server."""

from __future__ import annotations

import argparse
import json

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.server import Refused, Server, in_path, talk

#: What is said of a service that there is not, or that a token does not reach.
_UNKNOWN = ("service-not-found", "model-not-found")


def samples(given: argparse.Namespace) -> int:
    """Print a program, made of what the server knows; the one of a service if a model has the same name."""
    wanted = {"server": given.server}

    async def ask(server: Server) -> int:
        name = in_path(given.name)
        asked = {} if given.endpoint is None else {"endpoint": given.endpoint}
        try:
            document = await server.ask("GET", f"/services/{name}/samples", params=wanted | asked)
        except Refused as refused:
            if refused.problem.get("type", "").rpartition("/")[2] not in _UNKNOWN:
                raise
            asked = {} if given.endpoint is None else {"function": given.endpoint}
            document = await server.ask("GET", f"/models/{name}/samples", params=wanted | asked)
        if given.json:
            print(json.dumps(document))
        else:
            print(document["samples"][given.language], end="")
        return Exit.OK

    return talk(given, ask)
