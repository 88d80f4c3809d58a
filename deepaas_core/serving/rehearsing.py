"""Test queries: asked of a generation as real calls are, before it goes live and whenever somebody likes."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.deployment import Generation
from deepaas_core.domain.rehearsal import Outcome, difference
from deepaas_core.domain.service import Query, Service
from deepaas_core.serving.services import Live, Services

log = logging.getLogger(__name__)

#: Asks a generation as a real call would; gives the rows of a prediction or the value of a function.
Ask = Callable[[Live, Query], Awaitable[Any]]


class Rehearsal:
    """Asks test queries.

    Args:
        services: The generations.
        ask: See ``Ask``.
    """

    def __init__(self, services: Services, ask: Ask):
        self._services = services
        self._ask = ask

    async def run(self, service: str, version: str, queries: Sequence[Query]) -> Sequence[Outcome]:
        """Ask a generation these queries, one after the other.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
            ModelNotReady: It does not run, and cannot be brought up.
        """
        live = self._services.kept(service, version)
        with self._services.using(live):
            await self._services.awake(live)
            return [await self._outcome(live, query) for query in queries]

    async def _outcome(self, live: Live, query: Query) -> Outcome:
        started, answer, problem = time.perf_counter(), None, ""
        try:
            answer = await self._ask(live, query)
        except errors.ModelFailure as error:
            problem = f"{error} {error.message}".strip()
        except errors.DeepaasError as error:
            problem = str(error) or error.title()
        else:
            if query.expected is not None:
                problem = difference(query.expected, answer, query.tolerance)
        return Outcome(query.endpoint, query.name, problem, answer, time.perf_counter() - started)


def all_queries(definition: Service, stored: Sequence[Query]) -> Sequence[Query]:
    """The queries for a generation: its own, and those that are stored with its service as far as they concern it."""
    return (*definition.queries, *(query for query in stored if query.endpoint in definition.endpoints))


def complaints(
    queries: Sequence[Query], generations: Sequence[Generation], known: Sequence[Query]
) -> Sequence[errors.Issue]:
    """What is wrong with test queries that are to be stored with a service.

    Args:
        queries: All of them.
        generations: Those of the service.
        known: What is stored already, which may be of generations that are deleted by now.
    """
    kinds = {name: one.kind for each in generations for name, one in each.definition.endpoints.items()}
    found = []
    for at, query in enumerate(queries):
        if query in known:
            continue
        kind = kinds.get(query.endpoint)
        if kind is None:
            close = errors.did_you_mean(query.endpoint, kinds)
            found.append(errors.Issue(f"/queries/{at}/endpoint", f"No generation has an endpoint of this name.{close}"))
        elif kind.takes_rows and not query.rows:
            found.append(errors.Issue(f"/queries/{at}/rows", f"A {kind} is tested with rows."))
    return found


def verdict(version: str, outcomes: Sequence[Outcome]) -> str:
    """What is wrong with a generation by its outcomes, in sentences; empty if nothing is."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if not failed:
        return ""
    told = "; ".join(f"{outcome.name or outcome.endpoint}: {outcome.problem}" for outcome in failed[:5])
    return f"Generation {version!r} failed {len(failed)} of {len(outcomes)} test queries. {told}"
