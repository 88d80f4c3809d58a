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
from contextlib import suppress
from pathlib import Path

from deepaas_core import app
from deepaas_core.errors import StoreUnavailable, StoreUnusable
from deepaas_core.serving.trainer import SIGN_EVERY_S, Trainer
from deepaas_core.settings import Settings
from deepaas_core.stores.sql import SqlRunStore
from deepaas_core.telemetry import logs

log = logging.getLogger(__name__)

TEND_EVERY_S = 2.0


class Presence:
    """The signs of life of one server.

    Args:
        settings: The server's.
        server: The number of its process, which is our parent as long as it lives.
        instance: That life of it.
        address: Where people reach it.
    """

    def __init__(self, settings: Settings, server: int, instance: str, address: str):
        self._settings = settings
        self._server, self._instance, self._address = server, instance, address
        self._place = app.place_of(settings.store)

    async def keep(self) -> None:
        """Stay as long as there is somebody to speak for.

        Raises:
            StoreUnusable: A newer server has changed the database.
        """
        store = await self._open()
        trainer = app.trainer_of(self._settings, store)
        tending = asyncio.create_task(self._tend(trainer))
        while not tending.done():
            try:
                await store.greet(self._place.server, self._address)
            except StoreUnavailable as error:
                log.warning("no sign of life can be given", extra={"reason": str(error)})
            await asyncio.wait({tending}, timeout=SIGN_EVERY_S)
        await trainer.close()
        await store.close()

    async def _open(self) -> SqlRunStore:
        while True:
            try:
                return await SqlRunStore.open(self._settings.store.url, Path(self._settings.store.data_dir))
            except StoreUnavailable as error:
                log.warning("no sign of life can be given", extra={"reason": str(error)})
                await asyncio.sleep(SIGN_EVERY_S)

    async def _tend(self, trainer: Trainer) -> None:
        """Wait until the server is gone, then do its work until nothing is left of it."""
        while self._is_current():
            try:
                if os.getppid() != self._server and not await trainer.tend():
                    return
            except StoreUnavailable as error:
                log.warning("training records cannot be used", extra={"reason": str(error)})
            except Exception:
                log.exception("runs of a server that is away cannot be tended")
            await asyncio.sleep(TEND_EVERY_S)

    def _is_current(self) -> bool:
        """Whether there has been no other server since."""
        with suppress(OSError):
            return (Path(self._settings.store.data_dir) / app.LOCK).read_text() == self._instance
        return False


def main() -> int:
    """Speak for the server that started this."""
    server, instance, address = sys.argv[1:]
    settings = Settings.from_plain(json.loads(os.environ.pop("DEEPAAS_CORE_PRESENCE")))
    logs.configure(settings.log.level, settings.log.format)
    with suppress(StoreUnusable, KeyboardInterrupt):
        asyncio.run(Presence(settings, int(server), instance, address).keep())
    return 0


if __name__ == "__main__":
    sys.exit(main())
