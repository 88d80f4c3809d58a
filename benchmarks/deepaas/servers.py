"""Both servers, started by the same command line over the same models."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import textwrap
import venv
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.environments import PROJECT
from benchmarks.targets import DEEPAAS

COMMANDS: Mapping[str, Sequence[str]] = {
    "DEEPaaS": [DEEPAAS.program("deepaas-run")],
    "deepaas_core": [
        sys.executable,
        "-c",
        "import sys; from deepaas_core.cli.deepaas.run import main; sys.exit(main())",
    ],
}
START_S, ANSWER_S = 60.0, 5.0


@dataclass
class Server:
    """A server that has been started.

    Attributes:
        url: Where it is.
        folder: Its home and its folder for temporary files.
        code: Its exit code, if it has ended instead.
        log: What it has written.
    """

    url: str
    folder: Path
    session: aiohttp.ClientSession
    code: int | None = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def ask(self, method: str, path: str, **more: object) -> tuple[int, str]:
        """Status and text; 0 with what happened instead of an answer."""
        try:
            async with self.session.request(method, self.url + path, allow_redirects=False, **more) as response:
                return response.status, await response.text()
        except TimeoutError:
            return 0, f"no answer within {ANSWER_S:g} s"
        except aiohttp.ClientError:
            return 0, "the connection is closed without an answer"


def with_libraries_of_deepaas(folder: Path) -> Path:
    """An environment that sees all that DEEPaaS is installed with; gives the place for models in it."""
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    [libraries] = DEEPAAS.folder.glob("lib/python*/site-packages")
    (site / "deepaas.pth").write_text(f"{libraries}\n")
    return site


def install(site: Path, models: Mapping[str, str]) -> None:
    """Put models where Python finds them, as pip would.

    Args:
        site: The folder.
        models: Their code, by name; ``name:Object`` names what the entry point shall point at.
    """
    for declared, code in models.items():
        name, colon, inside = declared.partition(":")
        info = site / f"side_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: side-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[deepaas.v2.model]\n{name} = side_{name}{colon}{inside}\n")
        (site / f"side_{name}.py").write_text(textwrap.dedent(code))


@asynccontextmanager
async def running(
    command: Sequence[str], site: Path, folder: Path, *options: str, environment: Path | None = None
) -> AsyncIterator[Server]:
    """A server, once it answers or has ended; it is killed in the end, since one of the two may ignore to be asked.

    Args:
        command: Of ``COMMANDS``.
        site: Where the models are.
        folder: For what it writes.
        options: Of the command line.
        environment: The one that ``site`` belongs to, if the models run there and not in the server's.
    """
    (folder / "tmp").mkdir(parents=True)
    port = _free_port()
    known = {name: text for name, text in os.environ.items() if not name.startswith(("DEEPAAS_", "OS_DEFAULT__"))}
    places = [] if environment else [str(site)]
    path = os.pathsep.join((*places, *([str(PROJECT)] if command[0] == sys.executable else [])))
    changed = {"PYTHONPATH": path, "HOME": str(folder), "TMPDIR": str(folder / "tmp"), "NO_COLOR": "1"}
    # The environment of whoever develops this server may have models of its own.
    changed["DEEPAAS_CORE_MODELS_ONLY"] = ",".join(file.stem.removeprefix("side_") for file in site.glob("side_*.py"))
    if environment:
        changed["DEEPAAS_CORE_MODELS_ENVIRONMENTS"] = str(environment)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--listen-port",
            str(port),
            *options,
            env=known | changed,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_S)) as session:
        session._retry_connection = False  # what gets no answer is not to be asked again
        server = Server(f"http://127.0.0.1:{port}", folder, session)
        try:
            async with asyncio.timeout(START_S):
                while "Running on" not in server.log and process.returncode is None:
                    await asyncio.sleep(0.1)
            server.code = process.returncode
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
