"""A process of ours that is there as long as the server, and may outlive it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
PAUSE_MAX_S = 30.0


async def keep(module: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a module of ours in a session of its own, and run it again whenever it ends.

    Cancelling this leaves the process alone: it is to know by itself when it is needed no more.

    Args:
        module: Its name and its arguments.
        environment: Variables that it gets besides ours.
    """
    pause_s = LOOK_EVERY_S
    while True:
        try:
            pid = await asyncio.to_thread(_start, module, environment)
            log.debug("companion started", extra={"program": module[0], "pid": pid})
            while not _ended(pid):
                await asyncio.sleep(LOOK_EVERY_S)
            reason = "it ended"
        except OSError as error:
            reason = str(error)
        log.warning("companion lost", extra={"program": module[0], "reason": reason, "restart_s": pause_s})
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


def _start(module: Sequence[str], environment: Mapping[str, str]) -> int:
    # No Popen: it would complain about, or end, a child that is meant to outlive it.
    return spawn(
        module,
        environment,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    )


def spawn(
    module: Sequence[str], environment: Mapping[str, str], actions: Sequence[tuple[Any, ...]] = (), **how: Any
) -> int:
    """Start a module of ours, which finds what we find and has nothing to read; gives its number.

    Args:
        module: Its name and its arguments.
        environment: Variables that it gets besides ours.
        actions: What is done to its descriptors, as ``os.posix_spawn`` wants it.
        how: What else ``os.posix_spawn`` is to see to.

    Raises:
        OSError: It cannot be started.
    """
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", *module],
        {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), *actions],
        **how,
    )


def _ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid
