"""``/v2/debug/``: what the server and its models have printed, for those who look for a fault from afar.

It is off unless the operator wants it: whoever may read about all models sees what any of them prints.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime

from aiohttp import web

from deepaas_core.errors import RunElsewhere, RunNotFound
from deepaas_core.telemetry.logs import Text
from deepaas_core.web.keys import SETTINGS, TRAINER

#: Of the log, and of what each training has printed, the newest so much is shown.
MAX_LINES = 5000
MAX_RUN_BYTES = 64 * 1024
#: The newest so many trainings are shown.
MAX_RUNS = 20


class Capture(logging.Handler):
    """Remembers the newest lines of the log; of those that models have printed, the bare text."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Text())
        self.lines: deque[str] = deque(maxlen=MAX_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        printed = getattr(record, "line", None)
        self.lines.append(self.format(record) if printed is None else str(printed))


_CAPTURE = web.AppKey("debugging", Capture)


def prepare(app: web.Application) -> None:
    """Let an application remember what is logged, if it is to show that."""
    if app[SETTINGS].deepaas.debug_endpoint:
        app[_CAPTURE] = Capture()
        app.cleanup_ctx.append(_capturing)


async def _capturing(app: web.Application) -> AsyncIterator[None]:
    logging.getLogger().addHandler(app[_CAPTURE])
    yield
    logging.getLogger().removeHandler(app[_CAPTURE])


async def get_debug(request: web.Request) -> web.Response:
    """What has been printed so far, under a line that tells this moment from later ones."""
    lines = request.app[_CAPTURE].lines
    lines.append(f"--- DEBUG MARKER {datetime.now()} ---")
    text = "\n".join(lines) + "\n"
    trainer = request.app[TRAINER]
    for run in reversed(await trainer.list(limit=MAX_RUNS)):
        try:
            printed = await trainer.read_log(run.id, limit=MAX_RUN_BYTES)
        except (RunElsewhere, RunNotFound):
            continue
        text += f"--- TRAINING {run.id} of {run.model}: {run.state} ---\n{printed.content.decode(errors='replace')}\n"
    return web.Response(text=text)


async def get_nothing(_: web.Request) -> web.Response:
    """Nothing: what is printed goes to the log, and may be somebody's secret."""
    return web.Response(status=204)
