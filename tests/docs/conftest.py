"""Readers of the documentation: someone in an empty folder, with a terminal and a server of their own."""

from __future__ import annotations

import os
import socket
import stat
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.walkthrough import Reader
from tests.r import r

__all__ = ["r"]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An activated virtual environment of the reader's own, in which this server is already installed.

    It looks into the environment of the tests for that, instead of installing everything once more; what the reader
    installs stays in their own.
    """
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "server.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for command, module in {"deepaas-core": "deepaas_core.cli", "pip": "pip._internal.cli.main"}.items():
        script = folder / "bin" / command
        script.write_text(f"#!{folder}/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (folder / "bin" / "uv").symlink_to(Path(sysconfig.get_path("scripts"), "uv"))
    return folder


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def reader(environment: Path, free_port: int, tmp_path: Path) -> Iterator[Reader]:
    """Someone in an empty folder; only the port is not the one that stands on the page."""
    (tmp_path / ".curlrc").write_text("silent\nshow-error\n")  # a pipe, unlike a terminal, would show curl's progress
    folder = tmp_path / "empty"
    folder.mkdir()
    environ = {
        **os.environ,
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(environment),
        "CURL_HOME": str(tmp_path),
        "DEEPAAS_CORE_WEB_PORT": str(free_port),
        "DEEPAAS_CORE_SERVER": f"http://127.0.0.1:{free_port}",
        "DEEPAAS_CORE_STORE_DATA_DIR": str(tmp_path / "data"),
        "PYTHONUNBUFFERED": "1",
    }
    environ.pop("PYTHONPATH", None)
    with Reader(folder, environ, replace={"127.0.0.1:5000": f"127.0.0.1:{free_port}"}) as reader:
        yield reader
