"""Writes the bodies that are sent, and what must come back: ``python cases.py FOLDER``, where the models are."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from bench_models import work

ARRAY_LENGTH = 1_000_000
UPLOAD_BYTES = 64 << 20
BOUNDARY = "benchmark-boundary"
TINY = {"text": "hello, benchmark", "number": 42, "flags": [True, None]}


def write(folder: Path) -> None:
    """Write every body, for the different ways of the targets, and ``expected.json``."""
    expected = {"echo": TINY["text"], "sleep": "sleep", "compute": "compute"}

    save(folder, "tiny.data.json", {"data": TINY})
    save(folder, "tiny.oip.json", oip("text", "BYTES", [1], [TINY["text"]]))
    for how in ("sleep", "compute"):
        save(folder, f"{how}.data.json", {"data": how})
        save(folder, f"{how}.oip.json", oip("text", "BYTES", [1], [how]))

    sample = work._sample()
    row = sample["rows"][0]
    save(folder, "row.data.json", {"data": row})
    save(folder, "row.batch.json", {"data": [row]})
    save(folder, "row.oip.json", oip("row", "FP64", [1, len(row)], row))
    expected |= {name: sample[name][0] for name in ("logistic", "forest")}

    array = np.random.default_rng(0).random(ARRAY_LENGTH, dtype=np.float32)
    numbers = [round(float(value), 7) for value in array]
    save(folder, "array.data.json", {"data": numbers})
    save(folder, "array.oip.json", oip("array", "FP32", [1, len(numbers)], numbers))
    save(folder, "array.bin", array.tobytes())
    save(folder, "array.form", form("data", array.tobytes()))
    save(folder, "array.file.form", form("file", array.tobytes()))
    np.save(folder / "array.npy", array)
    expected["mean"] = float(array.mean())

    upload = np.random.default_rng(1).bytes(UPLOAD_BYTES)
    save(folder, "upload.bin", upload)
    save(folder, "upload.form", form("data", upload))
    save(folder, "upload.oip.json", oip("content", "BYTES", [1], [base64.b64encode(upload).decode()]))
    expected["digest"] = hashlib.sha256(upload).hexdigest()
    save(folder, "expected.json", expected)


def oip(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    """A request of the Open Inference Protocol."""
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}


def form(field: str, content: bytes) -> bytes:
    """A form with one file."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="content.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def save(folder: Path, name: str, value: Any) -> None:
    """Write bytes as they are, anything else as JSON."""
    (folder / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
