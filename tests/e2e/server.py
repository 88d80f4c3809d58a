"""The real command with models that a test writes down, and a client that makes a new connection for every request."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.forked import Forked
from tests.scraped import Page

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], Any], within_s: float = 20) -> Any:
    """Wait for something that tells nobody when it is there.

    The longer that takes, the less often it is looked for: looking costs what other tests could use.
    """
    began = time.monotonic()
    while not (value := condition()):
        waited_s = time.monotonic() - began
        assert waited_s < within_s, "waited in vain"
        time.sleep(min(0.1, 0.01 + waited_s / 20))
    return value


@dataclass
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running server, its models' sources, and its log.

    Attributes:
        within: The command that runs the server's.
        all_models: Serve whatever is installed, not only what the test has written down before the start.
    """

    folder: Path
    within: tuple[str, ...] = ()
    all_models: bool = False
    process: subprocess.Popen[bytes] | Forked = field(init=False)
    url: str = ""

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def install(self, name: str, code: str, version: str = "1.0") -> Path:
        """Put a package with one model where Python finds it, as pip would; gives the file of its code."""
        site = self.folder / "site"
        info = site / f"model_{name}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: model-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[deepaas.model]\n{name} = model_{name}\n")
        code_file = site / f"model_{name}.py"
        code_file.write_text(textwrap.dedent(code))
        return code_file

    def start(self, *arguments: str) -> Server:
        """Serve, until every model has settled."""
        self.launch("--port", "0", *arguments)
        said = until(lambda: re.search(r"Models +(http\S+)/", self.log) or self.process.poll() is not None)
        assert isinstance(said, re.Match), self.log
        self.url = said[1]
        return self

    def launch(self, *arguments: str) -> None:
        """Begin to serve."""
        names = [path.stem.removeprefix("model_") for path in (self.folder / "site").glob("*.py")]
        settings = ("--data-dir", str(self.folder / "data"))
        models = [argument for name in names if not self.all_models for argument in ("--model", name)]
        path = os.pathsep.join((str(self.folder / "site"), str(ROOT)))
        with (self.folder / "server.log").open("w") as log:
            argv = [*settings, *models, *arguments]
            env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
            if self.within:
                command = [*self.within, sys.executable, "-m", "deepaas_core", *argv]
                self.process = subprocess.Popen(command, env=env, cwd=self.folder, stdout=log, stderr=log)
            else:
                self.process = Forked(argv, env, self.folder, log)

    def ask(self, path: str, data: Any = None, method: str | None = None, **headers: str) -> Answer:
        """One request over a connection of its own."""
        body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, kind | given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, response.read(), response.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), error.headers)

    def predict(self, model: str, data: Any, **headers: str) -> Answer:
        return self.ask(f"/api/v1/models/{model}/predict/data", data, **headers)

    def metrics(self) -> Page:
        return Page(self.ask("/metrics").body.decode())

    def children(self, *words: str) -> dict[int, psutil.Process]:
        """The living children of the main process whose command has these words."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return {child.pid: child for child in found if set(words) <= set(_command(child))}

    def http_processes(self) -> dict[int, psutil.Process]:
        """Those that answer requests; what they are forked from is the main process's own child."""
        found = self.children("deepaas_core.front")
        return {pid: child for pid, child in found.items() if child.ppid() != self.process.pid}

    def stop(self) -> int:
        """Ask for an orderly end; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def presences(self) -> list[psutil.Process]:
        """The processes that speak for this server where several share a database, of its earlier lives too."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if "deepaas_core.presence" in process.cmdline() and process.cwd() == str(self.folder):
                    found.append(process)
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.process.terminate()
                self.process.wait(timeout=15)
            self.process.kill()
            self.process.wait()


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []
