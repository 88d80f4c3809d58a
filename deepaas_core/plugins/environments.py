"""Environments besides the server's own: what can be known of one by looking at its files.

Nothing in them is started here. A virtual environment (of venv, virtualenv or uv), a conda prefix, and a plain
installation of Python differ in where they say which Python they are, and in which folders that Python finds libraries.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from deepaas_core.domain.model import Environment
from deepaas_core.errors import SettingsError

#: The oldest Python that the worker runs on.
OLDEST_PYTHON = (3, 9)
#: The file that an environment made by us has once it is complete; says what was asked for.
FINISHED = "deepaas-core.json"
#: Folders that say nothing of what is in them; the folder around them does.
_NAMELESS = (".venv", "venv", ".env", "env", ".conda")
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")


def read_environment(prefix: Path, name: str = "") -> Environment:
    """What lies in a folder that is said to be an environment.

    Args:
        prefix: The folder.
        name: What to call it; empty calls it like the folder.

    Raises:
        SettingsError: It is none, with the reason.
    """
    prefix = Path(os.path.abspath(prefix))
    if not prefix.is_dir():
        raise SettingsError(f"There is no environment at {prefix}: it is not a folder.")
    interpreter = next((path for path in _interpreters(prefix) if os.path.lexists(path)), None)
    python = _python(prefix, interpreter) if interpreter is not None else ""
    if interpreter is None or not python:
        raise SettingsError(
            f"{prefix} is neither a virtual environment nor a conda prefix: it has no {prefix / 'bin' / 'python'}"
            f"{', or does not say of which version' if interpreter else ''}."
        )
    named = prefix.parent if prefix.name in _NAMELESS else prefix
    conda = (prefix / "conda-meta").is_dir()
    return Environment(name or named.name or str(prefix), str(prefix), str(interpreter), python, conda)


def read_environments(asked: Iterable[str], made: Path) -> tuple[Environment, ...]:
    """The environments that the settings ask for, each once.

    Args:
        asked: Folders, or names of environments in ``made``.
        made: The folder of those that ``deepaas-core environment create`` has made.

    Raises:
        SettingsError: One of them is none.
    """
    found: dict[str, Environment] = {}
    for text in asked:
        if "/" not in text and os.path.lexists(made / text):
            check_finished(made / text)
            environment = read_environment(made / text, text)
        elif "/" in text or Path(text).expanduser().is_dir():
            environment = read_environment(Path(text).expanduser())
        else:
            names = ", ".join(sorted(path.name for path in made.glob("[!.]*"))) or "none at all"
            raise SettingsError(f"There is no environment {text!r}, neither as a folder nor by name; there is {names}.")
        found.setdefault(os.path.realpath(environment.prefix), environment)
    return tuple(found.values())


def check_finished(prefix: Path) -> None:
    """Refuse an environment that was being made when something came between.

    Raises:
        SettingsError: It is one.
    """
    if not (prefix / FINISHED).exists():
        raise SettingsError(f"The environment {prefix.name!r} was never finished; create it again.")


def complaint(environment: Environment) -> str:
    """Why no model can run in an environment; empty if models can."""
    version = tuple(map(int, environment.python.split(".")[:2]))
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return f"It runs in Python {environment.python} (environment {environment.name}); {oldest} or newer is needed."
    if not os.access(environment.interpreter, os.X_OK):
        return f"The Python of its environment {environment.name} is gone; make the environment again."
    return ""


def library_folders(environment: Environment) -> list[str]:
    """The folders in which the environment's Python looks for libraries, in its order."""
    prefix, version = Path(environment.prefix), ".".join(environment.python.split(".")[:2])
    config = _config(prefix)
    folders = list(_site_folders(prefix, version))
    if not config or config.get("include-system-site-packages", "").lower() == "true":
        folders.append(Path("~/.local/lib").expanduser() / f"python{version}" / "site-packages")
    if config.get("include-system-site-packages", "").lower() == "true" and "home" in config:
        folders += _site_folders(Path(config["home"]).parent, version)
    return _unique(str(path) for folder in folders for path in (folder, *_linked(folder)))


def _interpreters(prefix: Path) -> Iterator[Path]:
    yield prefix / "bin" / "python"
    yield prefix / "bin" / "python3"


def _python(prefix: Path, interpreter: Path) -> str:
    """The version of an environment's Python: what its files say of it, the most exact first."""
    config = _config(prefix)
    said = [config.get("version_info", ""), config.get("version", "")]
    said += [path.name.removeprefix("python-") for path in prefix.glob("conda-meta/python-[0-9]*.json")]
    said += [interpreter.resolve().name.removeprefix("python")]
    said += [path.name.removeprefix("python") for path in sorted(prefix.glob("lib/python[0-9].*"))]
    return next((found[0] for text in said if (found := _VERSION.match(text))), "")


def _config(prefix: Path) -> Mapping[str, str]:
    """What ``pyvenv.cfg`` says; nothing where there is none."""
    try:
        text = (prefix / "pyvenv.cfg").read_text("utf-8", "replace")
    except OSError:
        return {}
    lines = (line.partition("=") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, equals, value in lines if equals}


def _site_folders(prefix: Path, version: str) -> Iterator[Path]:
    """Where packages are installed below a prefix, Debian's places included."""
    python = f"python{version}"
    yield prefix / "lib" / python / "site-packages"
    yield prefix / "lib64" / python / "site-packages"
    yield prefix / "local" / "lib" / python / "dist-packages"
    yield prefix / "lib" / "python3" / "dist-packages"
    yield prefix / "lib" / python / "dist-packages"


def _linked(folder: Path) -> Iterator[Path]:
    """Folders that ``.pth`` files add, as those of editable installs do; lines that are code are left alone."""
    for file in sorted(folder.glob("*.pth")):
        try:
            lines = file.read_text("utf-8", "replace").lstrip("\ufeff").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.strip() and not line.startswith(("#", "import ", "import\t")):
                yield folder / line.rstrip()


def _unique(folders: Iterable[str]) -> list[str]:
    """Those that exist, each once, by whatever name (``lib64`` is often a link to ``lib``)."""
    found: dict[str, str] = {}
    for folder in folders:
        if os.path.exists(folder):
            found.setdefault(os.path.realpath(folder), folder)
    return list(found.values())
