"""What a model can say and ask from inside ``train``: ``from deepaas_core import run``.

Everything here does nothing outside a training run, so that a model package stays a plain package. What is said goes
line by line into the run's ``events.ndjson``, where it is safe even if the process is killed the moment after.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, SupportsFloat

_DIR, _MODEL_DIR, _RESUME_DIR = "DEEPAAS_CORE_RUN_DIR", "DEEPAAS_CORE_MODEL_DIR", "DEEPAAS_CORE_RESUME_DIR"
#: A server reads no longer lines.
_MAX_LINE_BYTES = 2**20
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
    """Keep a copy of a file, or of a folder with all its files, with the run.

    Args:
        path: The file or folder.
        name: What to call it there, folders with slashes; its own name by default. An older one of this name goes.

    Raises:
        ValueError: The name leads out of the run's own folder.
        OSError: It cannot be copied.
    """
    folder = _folder(_DIR)
    if folder is None:
        return
    kept = folder / "artifacts" / _inner_name(name or os.path.basename(os.path.abspath(path)))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".artifact-") as aside:
        new = Path(aside, "new")
        if os.path.isdir(path):
            shutil.copytree(path, new)
        else:
            shutil.copyfile(path, new)
        kept.parent.mkdir(parents=True, exist_ok=True)
        if kept.is_dir() or new.is_dir():
            with contextlib.suppress(FileNotFoundError):
                os.replace(kept, Path(aside, "old"))
        os.replace(new, kept)
    files = [each for each in kept.rglob("*") if each.is_file()] if kept.is_dir() else [kept]
    name = kept.relative_to(folder / "artifacts").as_posix()
    _record("artifact", {"name": name, "bytes": sum(each.stat().st_size for each in files)})


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


def _inner_name(name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise ValueError(f"An artifact's name must be a path below the run's artifacts, not {name!r}.")
    return path


def _record(event: str, values: dict[str, Any]) -> None:
    """Append one event; one write to a file open for appending is never mixed with those of other processes.

    A full disk, or a value that cannot be told, costs the event, not the training.
    """
    folder = _folder(_DIR)
    if folder is None:
        return
    try:
        line = json.dumps({"at": time.time(), "event": event, "values": _plain(values)}, allow_nan=False) + "\n"
        if len(line) > _MAX_LINE_BYTES:
            raise ValueError(f"it is longer than {_MAX_LINE_BYTES} bytes")
        _append(folder / "events.ndjson", line.encode())
    except Exception as error:  # whatever the values' own classes raise when they are turned into text
        print(f"deepaas_core.run: {event} lost: {type(error).__name__}: {error}", file=sys.stderr)


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(file, line)
        if written < len(line):  # so that the next line is not lost as well
            os.write(file, b"\n")
    finally:
        os.close(file)


def _plain(value: Any) -> Any:
    """A value as strict JSON knows it: numbers of any library as numbers, anything unknown as its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if not isinstance(value, float) and hasattr(value, "tolist"):
        return _plain(value.tolist())
    if hasattr(value, "__float__"):
        return _plain_number(value)
    return _plain(value.item()) if hasattr(value, "item") else _plain(str(value))


def _plain_number(value: SupportsFloat) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
