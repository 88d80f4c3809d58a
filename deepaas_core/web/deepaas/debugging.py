"""``/v2/debug/``: what the server and its models have printed, for those who look for a fault from afar.

It is off unless the operator wants it: whoever may read about all models sees what any of them prints.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial

from aiohttp import web

from deepaas_core.errors import RunElsewhere, RunNotFound
from deepaas_core.telemetry.logs import Text
from deepaas_core.web.keys import LOGGED, SETTINGS, TRAINER, Logged

#: Of the log, and of what each training has printed, the newest so much is shown.
MAX_LINES = 5000
MAX_RUN_BYTES = 64 * 1024
#: The newest so many trainings are shown.
MAX_RUNS = 20


class Passing(logging.Handler):
    """Passes on the lines of the log; of those that models have printed, the bare text."""

    def __init__(self, to: Callable[[str], None]) -> None:
        super().__init__()
        self.setFormatter(Text())
        self._to = to

    def emit(self, record: logging.LogRecord) -> None:
        printed = getattr(record, "line", None)
        self._to(self.format(record) if printed is None else str(printed))


class Capture:
    """Remembers the newest lines of the log, from ``begin`` to ``end``, and what others ``keep`` here."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._handler = Passing(self.keep)

    def begin(self) -> None:
        logging.getLogger().addHandler(self._handler)

    def end(self) -> None:
        logging.getLogger().removeHandler(self._handler)

    def keep(self, line: str) -> None:
        self._lines.append(line)

    async def with_line(self, line: str) -> Sequence[str]:
        """All of them, after one more."""
        self.keep(line)
        return list(self._lines)


def prepare(app: web.Application, logged: Logged | None) -> None:
    """Let an application remember what is logged, or ask the process that does, if it is to show that."""
    if not app[SETTINGS].deepaas.debug_endpoint:
        return
    if logged is None:
        capture = Capture()
        logged = capture.with_line
        app.cleanup_ctx.append(partial(_capturing, capture))
    app[LOGGED] = logged


async def _capturing(capture: Capture, _: web.Application) -> AsyncIterator[None]:
    capture.begin()
    yield
    capture.end()


async def get_debug(request: web.Request) -> web.Response:
    """What has been printed so far, under a line that tells this moment from later ones."""
    lines = await request.app[LOGGED](f"--- DEBUG MARKER {datetime.now()} ---")
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
