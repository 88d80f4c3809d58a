"""A PostgreSQL server of the tests' own: on a free port, in a folder of its own, gone when they are over."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepaas_core.stores import migrations
from deepaas_core.stores.database import Database

#: Set where nothing may be skipped.
REQUIRED = "TESTS_REQUIRE_POSTGRESQL"


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, if they are installed."""
    folders = [Path(found).resolve().parent] if (found := shutil.which("postgres")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        folders.append(Path(told))
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class Postgres:
    """A database server that can be stopped, killed and started again."""

    def __init__(self, programs: Path, folder: Path):
        self._programs, self._folder = programs, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._templates: set[str] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._as = {}
        if os.getuid() == 0:  # PostgreSQL refuses to be run by root
            somebody = pwd.getpwnam("nobody")
            os.chown(folder, somebody.pw_uid, somebody.pw_gid)
            self._as = {"user": somebody.pw_uid, "group": somebody.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", "data", "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+asyncpg://tests@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -F -c max_connections=60"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *options.split()],
                cwd=self._folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                **self._as,
            )
        give_up = time.monotonic() + 30
        while self._try("psql", "-h", "127.0.0.1", "-U", "tests", "-c", "SELECT 1", "postgres").returncode:
            if time.monotonic() > give_up or self._process.poll() is not None:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def new_database(self, name: str) -> str:
        self._run("psql", "-h", "127.0.0.1", "-U", "tests", "-c", f'CREATE DATABASE "{name}"', "postgres")
        return self.url(name)

    def with_tables(self, chain: migrations.Chain = migrations.RECORDS) -> str:
        """A new database that has its tables already: they are made once, which takes ten times as long as a copy."""
        template = f"with_{chain.folder}"
        if template not in self._templates:
            with ThreadPoolExecutor(1) as aside:  # the test's own thread may be within an event loop
                aside.submit(asyncio.run, _make_tables(self.new_database(template), chain)).result()
            self._templates.add(template)
        name = uuid.uuid4().hex
        statement = f'CREATE DATABASE "{name}" TEMPLATE "{template}"'
        self._run("psql", "-h", "127.0.0.1", "-U", "tests", "-c", statement, "postgres")
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        done = self._try(program, *arguments)
        assert done.returncode == 0, done.stderr.decode()

    def _try(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            capture_output=True,
            check=False,
            env={"PGPORT": str(self.port), "PATH": os.environ["PATH"]},
            **self._as,
        )


async def _make_tables(url: str, chain: migrations.Chain) -> None:
    await (await Database.open(url, Path(), chain)).close()


@pytest.fixture(scope="session")
def postgres():
    """A running PostgreSQL server; without its programs, tests are skipped aloud, or fail if they must not be."""
    programs = binaries()
    if programs is None:
        missing = "PostgreSQL is not installed: apt install postgresql"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="deepaas-core-pg-"))  # tmp_path is closed to other users
    folder.chmod(0o755)
    server = None
    try:
        server = Postgres(programs, folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)
