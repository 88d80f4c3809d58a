"""What HTTP processes cost: how long a server with so many takes to its first answer, and what they hold in memory.

    python -m benchmarks.processes [NUMBER …]

It starts the server of the Python that runs it, without models, once for each number.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

from deepaas_core.web.nursery import PROGRAM

SETTLED_S = 5.0


def main() -> None:
    """Print a line for each number."""
    print(f"{'processes':>9} {'first answer, s':>16} {'processor time, s':>18} {'memory of all, MB':>18}")
    for number in map(int, sys.argv[1:] or ("2", "4", "8")):
        with tempfile.TemporaryDirectory() as folder:
            first_s, busy_s, held_mb = measured(number, Path(folder))
        print(f"{number:9} {first_s:16.2f} {busy_s:18.2f} {held_mb:18.0f}")


def measured(number: int, folder: Path) -> tuple[float, float, float]:
    """Start a server with so many HTTP processes.

    Returns:
        Seconds to the first answer, seconds of processor time that they took until all were up, and megabytes that
        they hold together, with what they share counted once.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--data-dir", str(folder / "data"), "--http-workers", str(number)]
    began = time.monotonic()
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "deepaas_core", "serve", *options], stdout=log, stderr=log)
    try:
        while not _answers(f"http://127.0.0.1:{port}/livez"):
            time.sleep(0.01)
        first_s = time.monotonic() - began
        time.sleep(SETTLED_S)
        family = [child for child in psutil.Process(server.pid).children(recursive=True) if PROGRAM in child.cmdline()]
        busy_s = sum(sum(child.cpu_times()[:2]) for child in family)
        return first_s, busy_s, sum(child.memory_full_info().pss for child in family) / 1e6
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _answers(url: str) -> bool:
    with suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    return False


if __name__ == "__main__":
    main()
