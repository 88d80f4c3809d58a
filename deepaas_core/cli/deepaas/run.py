"""``deepaas-run``: the server, started as DEEPaaS was."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from deepaas_core import app
from deepaas_core.cli.deepaas.options import LISTENING, LOGGING, SERVING, Parser
from deepaas_core.cli.deepaas.translating import begin_log, settings_of
from deepaas_core.cli.exits import Exit
from deepaas_core.domain.model import Problem
from deepaas_core.errors import DeepaasError, PluginError
from deepaas_core.executors.base import ExecutorState
from deepaas_core.serving.catalog import Entry
from deepaas_core.settings import Settings

PROGRAM = "deepaas-run"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it.

    Returns:
        0 after a signal; 1 if there is nothing to serve, or an option cannot be used.
    """
    parser = Parser(PROGRAM, "Serve models to clients of DEEPaaS.", (*SERVING, *LISTENING, *LOGGING))
    try:
        said = parser.parse(sys.argv[1:] if argv is None else argv, os.environ)
        settings = settings_of(said, os.environ)
        begin_log(said, settings)
        if not app.found_by(settings).sources:
            raise PluginError(_nothing(settings))
        return app.serve(settings, on_ready=announce_with(settings))
    except DeepaasError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.FAILED


def _nothing(settings: Settings) -> str:
    problems = " ".join(f"{problem.name}: {problem.reason}" for problem in app.found_by(settings).problems)
    return problems or (
        "No model is installed. A package offers one by an entry point of the group deepaas.v2.model or deepaas.model."
    )


def announce_with(settings: Settings) -> app.OnReady:
    """What says where to go, once every model has settled.

    It ends the server if a model that was asked for by name cannot be served, or none can.
    """

    def announce(url: str, entries: Sequence[Entry], problems: Sequence[Problem]) -> None:
        failed = [entry for entry in entries if entry.state is not ExecutorState.READY]
        reasons = [*(f"{e.name}: {e.reason}" for e in failed), *(f"{p.name}: {p.reason}" for p in problems)]
        if reasons and (settings.models.only or len(failed) == len(entries)):
            raise PluginError(" ".join(reasons))
        for reason in reasons:
            print(f"{PROGRAM}: not served: {reason}", file=sys.stderr)
        print("\nClients of DEEPaaS find here:\n")
        if settings.deepaas.doc_endpoint:
            print(f"    API documentation: {url}api\n    API specification: {url}swagger.json")
        print(f"          V2 endpoint: {url}v2\n")
        print(f"======== Running on {url.rstrip('/')} ========\n(Press CTRL+C to quit)", flush=True)

    return announce
