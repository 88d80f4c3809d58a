"""Renewing: what is served becomes what is installed by now, without losing a request.

It adds and it replaces; it never takes away. A model that is gone, or whose new code does not start, is served on as it
was loaded before, and says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from deepaas_core import errors
from deepaas_core.domain.model import Source
from deepaas_core.plugins.discovery import Discovery
from deepaas_core.serving.catalog import Catalog

log = logging.getLogger(__name__)


class Renewer:
    """Compares what a catalog serves with what is installed.

    Args:
        catalog: What is served.
        look: Finds what is installed now.
        folder_of: The folder of the trained model that is to be served of a model; None for none.
    """

    def __init__(
        self, catalog: Catalog, look: Callable[[], Discovery], folder_of: Callable[[str], Awaitable[Path | None]]
    ):
        self._catalog = catalog
        self._look = look
        self._folder_of = folder_of
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have everything renewed by ``run``; however often it is asked meanwhile, once more is enough."""
        self._asked.set()

    async def run(self) -> None:
        """Renew everything whenever somebody asks for it."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self.renew_all()
            except Exception:
                log.exception("models cannot be renewed")

    async def renew_all(self) -> None:
        """Offer models that are new, then renew the others one after the other, so that memory holds one twice."""
        catalog, before = self._catalog, self._catalog.entries()
        found = await asyncio.to_thread(self._look)
        catalog.complain(problem for problem in found.problems if not catalog.serves(problem.name))
        for source in found.sources:
            if not catalog.serves(source.name):
                catalog.add(source, await self._folder_of(source.name))
                log.info("model added", extra={"model": source.name, "version": source.version})
        for entry in before:
            await self._renew(entry.name, found)

    async def renew(self, name: str) -> None:
        """Renew one model."""
        await self._renew(name, await asyncio.to_thread(self._look))

    async def _renew(self, name: str, found: Discovery) -> None:
        source = next((source for source in found.sources if source.name == name), None)
        if source is None:
            self._keep(name, found)
        else:
            await self._load(source)

    async def _load(self, source: Source) -> None:
        try:
            await self._catalog.renew(source)
        except errors.ModelNotReady as error:
            log.error("model not renewed", extra={"model": source.name, "reason": error.reason})
        else:
            version = self._catalog.entry(source.name).source.version
            log.info("model renewed", extra={"model": source.name, "version": version})

    def _keep(self, name: str, found: Discovery) -> None:
        problem = next((problem.reason for problem in found.problems if problem.name == name), None)
        reason = problem or "No installed package declares it any more."
        log.error("model not renewed", extra={"model": name, "reason": reason})
        self._catalog.note(name, f"The code loaded before goes on. {reason}")
