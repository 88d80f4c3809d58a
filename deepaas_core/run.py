"""What a model can say and ask from inside ``train``: ``from deepaas_core import run``.

Everything here does nothing outside a training run, so that a model package stays a plain package. What is said goes
line by line into the run's ``events.ndjson``, where it is safe even if the process is killed the moment after.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

_DIR, _MODEL_DIR, _RESUME_DIR = "DEEPAAS_CORE_RUN_DIR", "DEEPAAS_CORE_MODEL_DIR", "DEEPAAS_CORE_RESUME_DIR"
_asked_before = False


def model_dir() -> Path | None:
    """Where the model's files are.

    Inside a run, the empty folder that ``train`` fills; in a prediction, the folder of the trained model that is
    served, or None as long as none has been trained.
    """
    return _folder(_MODEL_DIR)


def report(**metrics: Any) -> None:
    """Record measurements, e.g. ``run.report(epoch=3, loss=0.12)``; NaN and infinities become null."""
    _record("metrics", metrics)


def progress(done: float, total: float) -> None:
    """Say how far the run has come, in any unit: ``run.progress(3, 10)``."""
    _record("progress", {"done": done, "total": total})


def artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a copy of a file with the run.

    Args:
        path: The file.
        name: What to call it there; its own name by default.
    """
    folder = _folder(_DIR)
    if folder is None:
        return
    kept = folder / "artifacts" / Path(name or path).name
    new = kept.with_name(f".{kept.name}.{os.getpid()}")
    shutil.copyfile(path, new)
    os.replace(new, kept)
    _record("artifact", {"name": kept.name, "bytes": kept.stat().st_size})


def cancelled() -> bool:
    """Whether somebody has asked for the run's end.

    A model that asks is trusted to stop by itself, within the few seconds until its process is killed. One that never
    asks is interrupted by an exception.
    """
    global _asked_before
    folder = _folder(_DIR)
    if folder is None:
        return False
    if not _asked_before and threading.current_thread() is threading.main_thread():
        _asked_before = True
        signal.signal(signal.SIGTERM, lambda *_: None)
    return (folder / "cancel").exists()


def resume_from() -> Path | None:
    """The folder of the model that an earlier try of this run left behind; None if there is none to go on from."""
    return _folder(_RESUME_DIR)


def _folder(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _record(event: str, values: dict[str, Any]) -> None:
    """Append one event; one write to a file open for appending is never mixed with those of other processes.

    A full disk costs the event, not the training.
    """
    folder = _folder(_DIR)
    if folder is None:
        return
    line = json.dumps({"at": time.time(), "event": event, "values": _plain(values)}, allow_nan=False) + "\n"
    try:
        file = os.open(folder / "events.ndjson", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(file, line.encode())
            if written < len(line):  # so that the next line is not lost as well
                os.write(file, b"\n")
        finally:
            os.close(file)
    except OSError as error:
        print(f"run.{event} is lost: {error}", file=sys.stderr)


def _plain(value: Any) -> Any:
    """A value as strict JSON knows it: numpy scalars as numbers, anything unknown as its text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return _plain(value.item()) if hasattr(value, "item") else str(value)
