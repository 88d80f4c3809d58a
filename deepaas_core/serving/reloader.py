"""Reloading: a model whose source is edited is renewed, while the server goes on; for development only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from deepaas_core.domain.model import Source
from deepaas_core.plugins.editing import SourceCode, edits
from deepaas_core.serving.catalog import Catalog, Entry
from deepaas_core.serving.renewer import Renewer

log = logging.getLogger(__name__)


class Reloader:
    """Watches the sources of a catalog's models.

    Args:
        catalog: The models.
        renewer: Renews one of them.
        locate: Finds a model's source; None for one that has none.
        watch: Gives None once it watches a source, and a file of it after each edit.
    """

    def __init__(
        self,
        catalog: Catalog,
        renewer: Renewer,
        locate: Callable[[Source], Awaitable[SourceCode | None]],
        watch: Callable[[SourceCode], AsyncIterator[Path | None]] = edits,
    ):
        self._catalog = catalog
        self._renewer = renewer
        self._locate = locate
        self._watch = watch
        self._following: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Renew models as they are edited, those that are added later as well."""
        try:
            for entry in self._catalog.entries():
                self._follow(entry)
            self._catalog.watch(self._follow)
            await asyncio.Event().wait()
        finally:
            following = tuple(self._following.values())
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    def _follow(self, entry: Entry | None) -> None:
        if entry is not None and self._catalog.serves(entry.name) and entry.name not in self._following:
            self._following[entry.name] = asyncio.create_task(self._reload(entry))

    async def _reload(self, entry: Entry) -> None:
        code = await self._locate(entry.source)
        if code is None:
            log.warning("source is not watched: none was found", extra={"model": entry.name})
            return
        renewing = asyncio.create_task(asyncio.sleep(0))
        try:
            async for file in self._watch(code):
                if file is None:
                    log.info("watching source", extra={"model": entry.name, "folder": str(code.folder)})
                    continue
                log.info("source edited", extra={"model": entry.name, "file": str(file)})
                renewing.cancel()  # what is still being loaded is not the newest any more
                await asyncio.wait([renewing])
                renewing = asyncio.create_task(self._renew(entry.name))
        except Exception:
            log.exception("source is not watched any more")
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew(self, name: str) -> None:
        try:
            await self._renewer.renew(name)
        except Exception:
            log.exception("model cannot be renewed")
