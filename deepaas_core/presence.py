"""What says that a server's machine is there, whatever becomes of the server.

Servers that share a database must tell a server that was killed, and whose runs go on, from a machine that is lost with
all its runs. So the sign of life comes from a small process of its own, which outlives the server. While there is no
server it does what cannot wait: it records how runs ended, and ends those that were cancelled. It leaves when no run is
left, or when the next server has come, which has one of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from deepaas_core import app
from deepaas_core.errors import StoreUnavailable, StoreUnusable
from deepaas_core.executors.runs import RunProcesses
from deepaas_core.serving.neighbours import SIGN_EVERY_S
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Settings
from deepaas_core.stores.database import Database
from deepaas_core.stores.sql import SqlRunStore
from deepaas_core.telemetry import logs

log = logging.getLogger(__name__)

TEND_EVERY_S = 2.0
#: A next server has a presence of its own after so long, or has not been able to start.
SUCCESSION_S = 15.0
#: With the server away and no run alive, a database that is away too is waited for so long.
PATIENCE_S = 600.0


class Presence:
    """The signs of life of one server.

    Args:
        settings: The server's.
        server: The number of its process, which is our parent as long as it lives.
        address: Where people reach it.
    """

    def __init__(self, settings: Settings, server: int, address: str):
        self._settings = settings
        self._server, self._address = server, address
        self._place = app.place_of(settings.store)
        self._processes = RunProcesses(app.runs_of(settings.store))
        self._reached_at = self._alone_at = time.monotonic()

    async def keep(self) -> None:
        """Stay as long as there is somebody to speak for.

        Raises:
            StoreUnusable: A newer server has changed the database.
        """
        database = await self._open()
        if database is None:
            return
        store = SqlRunStore(database)
        trainer = app.trainer_of(self._settings, database)
        tending = asyncio.create_task(self._tend(trainer))
        while not tending.done() and await self._is_wanted():
            try:
                await store.greet(self._place.server, self._address)
                self._reached_at = time.monotonic()
            except StoreUnavailable as error:
                log.warning("no sign of life can be given", extra={"reason": str(error)})
            await asyncio.wait({tending}, timeout=SIGN_EVERY_S)
        tending.cancel()
        await trainer.close()
        await database.close()

    async def _open(self) -> Database | None:
        while await self._is_wanted():
            try:
                return await Database.open(self._settings.store.url, Path(self._settings.store.data_dir))
            except StoreUnavailable as error:
                log.warning("no sign of life can be given", extra={"reason": str(error)})
                await asyncio.sleep(SIGN_EVERY_S)
        return None

    async def _tend(self, trainer: Trainer) -> None:
        """Wait until the server is gone, then do its work until nothing is left of it, or the next one is there."""
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            if self._server_lives():
                self._alone_at = time.monotonic()
                continue
            try:
                with (Path(self._settings.store.data_dir) / app.TENDING).open("a") as lock:
                    if app.try_lock(lock):
                        self._alone_at = time.monotonic()
                        async with asyncio.timeout(app.TENDING_TIMEOUT_S):
                            if not await trainer.tend():
                                return
            except (StoreUnavailable, TimeoutError) as error:
                log.warning("training records cannot be used", extra={"reason": str(error)})
            except FileNotFoundError:  # the data folder is gone
                return
            except Exception:
                log.exception("runs of a server that is away cannot be tended")

    async def _is_wanted(self) -> bool:
        if self._server_lives():
            return True
        now = time.monotonic()
        if now - self._alone_at > SUCCESSION_S:
            return False
        if now - self._reached_at < PATIENCE_S:
            return True
        return any(self._processes.folder(run_id).exists() for run_id in await self._processes.strays())

    def _server_lives(self) -> bool:
        return os.getppid() == self._server


def main() -> int:
    """Speak for the server that started this."""
    server, address = sys.argv[1:]
    settings = Settings.from_plain(json.loads(os.environ.pop("DEEPAAS_CORE_PRESENCE")))
    logs.configure(settings.log.level, settings.log.format, settings.log.file)
    with suppress(StoreUnusable, KeyboardInterrupt):
        asyncio.run(Presence(settings, int(server), address).keep())
    return 0


if __name__ == "__main__":
    sys.exit(main())
