"""The process log: one record, one line, whoever wrote the text in it.

Line breaks and control characters are escaped, so that neither a client nor a model can make a line that looks like
ours, and a line has a limit.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from logging.handlers import WatchedFileHandler

request_id: ContextVar[str] = ContextVar("request_id", default="")

MAX_LINE = 16_000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: What ends a line, and what makes a terminal show another text than the one that is there.
_TURNING = (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))},
    **{code: f"\\u{code:04x}" for code in _TURNING},
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


def configure(level: str, form: str = "auto", file: str = "") -> None:
    """Write the log to standard error, or to a file.

    Args:
        level: The least serious records to write, e.g. ``info``.
        form: ``text`` for people, ``json`` for machines; ``auto`` is text.
        file: Its path; a new one is begun when it has been moved away. Empty means standard error.

    Raises:
        OSError: The file cannot be written.
    """
    handler = WatchedFileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for talkative in ("asyncio", "alembic"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def escaped(text: str) -> str:
    """Text that stays on its line."""
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def write_lines(logger: logging.Logger, lines: Sequence[str]) -> None:
    """Write many plain texts at once, as if each were a record of level INFO.

    A record for each would cost more than what the text is about.
    """
    if not lines or not logger.isEnabledFor(logging.INFO):
        return
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "", (), None)
    for handler in logging.getLogger().handlers:
        form = handler.formatter
        if isinstance(handler, logging.StreamHandler) and isinstance(form, Text | JsonLines):
            try:
                if isinstance(handler, WatchedFileHandler):
                    handler.reopenIfNeeded()
                with handler.lock or nullcontext():
                    handler.stream.write("".join(f"{line}\n" for line in form.lines(record, lines)))
                    handler.flush()
            except Exception:
                handler.handleError(record)
        else:
            for line in lines:
                handler.handle(logger.makeRecord(logger.name, logging.INFO, "", 0, line, (), None))


class Text(logging.Formatter):
    """``12:00:00 INFO    fixed phrase  field=value …``."""

    def lines(self, record: logging.LogRecord, texts: Iterable[str]) -> Iterator[str]:
        """What ``format`` gives for records that differ in their text alone and have no fields."""
        head = self.format(record)
        for text in texts:
            line = text if text.isprintable() else escaped(text)
            yield f"{head}{line}"[:MAX_LINE]

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime(self.datefmt or "%H:%M:%S", time.localtime(record.created))
        given = _fields(record)
        trace = str(given.pop("traceback", ""))  # a model's own, from its worker
        fields = "".join(f" {name}={_shown(value)}" for name, value in given.items())
        line = f"{clock} {record.levelname:<7} {escaped(record.getMessage()[:MAX_LINE])}{fields}"
        if record.exc_info:
            trace += self.formatException(record.exc_info)
        return line[:MAX_LINE] + _indented(trace)


def _indented(trace: str) -> str:
    """The end of a traceback, so that none of its lines can be taken for one of the log's."""
    return "".join(f"\n    {escaped(line[:MAX_LINE])[:MAX_LINE]}" for line in trace.splitlines()[-60:])


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def lines(self, record: logging.LogRecord, texts: Iterable[str]) -> Iterator[str]:
        """What ``format`` gives for records that differ in their text alone."""
        for text in texts:
            record.msg = text
            yield self.format(record)

    def format(self, record: logging.LogRecord) -> str:
        ours: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_LINE],
        }
        if record.exc_info:
            ours["exception"] = self.formatException(record.exc_info)[-MAX_LINE:]
        fields = {name: _plain(value) for name, value in _fields(record).items()}
        return json.dumps(ours | fields | ours)  # a field never takes the place of what is ours


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    current = request_id.get()
    if current:
        fields["request"] = current
    return fields


def _shown(value: object) -> str:
    """A value that cannot be taken for two: in quotes if it holds anything that separates, quotes or escapes."""
    text = str(value)[:MAX_LINE]
    if text and escaped(text) == text and not set(text) & set(' "=\\'):
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped(quoted)}"'


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)[:MAX_LINE]
