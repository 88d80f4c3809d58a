"""What a generation needs besides its own files, as its requirement files say.

It is made once and kept, and never shared with a generation that asks for something else.
``requirements-py.txt`` becomes an environment of its own, ``requirements-r.txt`` a library of R packages.
``requirements-apt.txt`` is about the machine as a whole: what is not installed there is only installed if whoever
published asked for it and the operator allows it. There is no time limit; whatever the programs say goes to the
build's log.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deepaas_core.domain.model import Environment
from deepaas_core.errors import EnvironmentFailed, EnvironmentNotFound, GenerationFailed, SettingsError
from deepaas_core.plugins.environments import FINISHED, read_environment
from deepaas_core.plugins.making import Wish, Workshop

PYTHON, R, APT = "requirements-py.txt", "requirements-r.txt", "requirements-apt.txt"
_DEBIAN_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*(=[A-Za-z0-9.+:~-]+)?", re.ASCII)
_R_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]*", re.ASCII)
#: What is left of a build that was cut off is removed once it is this old; a younger one may go on.
FORSAKEN_S = 3600.0
#: Lines of a build's log that are told as the reason of its failure.
MAX_COMPLAINT_LINES = 15
_COMPLAINT = re.compile(r"\W*(error|fatal|failed|e:|warning message)\b", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: What makes requirements mean something only beside the files they came with.
_BESIDE = re.compile(r"^\s*(-|\.|file:)|[/\\]", re.MULTILINE)


@dataclass(frozen=True)
class Built:
    """What a generation runs in.

    Attributes:
        environment: Its Python; None if the server's own will do.
        r_library: A folder of R packages; None if it needs none.
    """

    environment: Environment | None = None
    r_library: Path | None = None


class Builder:
    """Builds what generations need.

    Args:
        root: The folder of what is built.
        allow_apt: Whether packages of the system may be installed where that is asked for.
        cran: The address of an R package repository.
    """

    def __init__(self, root: Path, allow_apt: bool = False, cran: str = "https://cloud.r-project.org"):
        self._root = root
        self._allow_apt = allow_apt
        self._cran = cran

    def ready(self, folder: Path) -> Built | None:
        """What was built for a generation's folder before; None if something is still to be done."""
        environment, library = self._environment(folder), self._library(folder)
        if environment is not None and not (environment / FINISHED).exists():
            return None
        if library is not None and not (library / FINISHED).exists():
            return None
        if (folder / APT).exists() and _missing_debian(_debian_names(folder / APT)):
            return None
        try:
            return Built(None if environment is None else read_environment(environment, environment.name), library)
        except SettingsError:  # its Python is gone; it is made again
            return None

    def build(self, folder: Path, log: IO[bytes], with_apt: bool = False) -> Built:
        """Build whatever a generation needs, as far as it is not there; may take any time.

        Args:
            folder: The generation's.
            log: For all that is said meanwhile.
            with_apt: Whoever published it asked for packages of the system to be installed.

        Raises:
            GenerationFailed: Something could not be had; it says what, and the log has the rest.
        """
        if (folder / APT).exists():
            self._install_debian(_debian_names(folder / APT), APT, with_apt, log)
        library = self._library(folder)
        if library is not None and not (library / FINISHED).exists():
            self._install_r(_names(folder / R, _R_NAME, "an R package"), library, with_apt, log)
        environment = self._environment(folder)
        made = None if environment is None else self._make_environment(folder / PYTHON, environment, log)
        return Built(made, library)

    def tidy(self, needed_by: Iterable[Path], over: Iterable[Path] = ()) -> None:
        """Remove what no generation needs any more, and nobody uses.

        Args:
            needed_by: The folders of the generations that there are.
            over: Folders of generations that are deleted; what was made for them goes at once, the rest when it is
                old enough for nobody to be making it.
        """
        needed, known = self._made_for(needed_by), self._made_for(over)
        workshop = Workshop(self._root)
        for folder in [] if not self._root.is_dir() else list(self._root.glob("[!.]*/")):
            if folder in needed or (folder not in known and not _is_forsaken(folder)):
                continue
            if folder.name.startswith("r-"):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            with suppress(EnvironmentNotFound, SettingsError):  # somebody runs in it; there is a next time
                workshop.remove(folder.name)

    def _made_for(self, folders: Iterable[Path]) -> set[Path]:
        """What was, or would be, built for generations."""
        made = {place(folder) for folder in folders for place in (self._environment, self._library)}
        return {folder for folder in made if folder is not None}

    def _environment(self, folder: Path) -> Path | None:
        """Where the environment of a folder's requirements is, or is to be; None if it asks for none."""
        if not _asks(folder / PYTHON):
            return None
        text = (folder / PYTHON).read_text("utf-8", "replace")
        asked = f"{sys.version_info[:2]}\0{text}"
        if _BESIDE.search(text):
            asked += f"\0{folder}"
        return self._root / hashlib.sha256(asked.encode()).hexdigest()[:32]

    def _library(self, folder: Path) -> Path | None:
        if not _asks(folder / R):
            return None
        return self._root / f"r-{hashlib.sha256((folder / R).read_bytes()).hexdigest()[:32]}"

    def _make_environment(self, requirements: Path, environment: Path, log: IO[bytes]) -> Environment:
        if (environment / FINISHED).exists():
            try:
                return read_environment(environment, environment.name)
            except SettingsError:
                shutil.rmtree(environment, ignore_errors=True)
        _say(log, f"Making an environment of {PYTHON} …")
        try:
            made = Workshop(self._root, log).create(environment.name, Wish(requirements=[requirements])).environment
        except (EnvironmentFailed, SettingsError) as error:
            if "what it says is above" in str(error):
                raise GenerationFailed(f"{PYTHON} could not be installed.") from error
            raise GenerationFailed(f"{PYTHON} could not be installed: {error}") from error
        assert made is not None
        return made

    def _install_debian(self, names: Sequence[str], file: str, asked: bool, log: IO[bytes]) -> None:
        missing = _missing_debian(names)
        if not missing:
            return
        listed = " ".join(missing)
        if not self._allow_apt:
            raise GenerationFailed(
                f"{file} asks for packages of the system that are not installed: {listed}. The operator may "
                f"install them (apt-get install {listed}) or let those who publish do so (services.allow_apt)."
            )
        if not asked:
            raise GenerationFailed(
                f"{file} asks for packages of the system that are not installed: {listed}. "
                "They are installed if the generation is published with --allow-apt."
            )
        _say(log, f"Installing packages of the system: {listed} …")
        if _apt_get(missing, log) and (_apt_get(None, log) or _apt_get(missing, log)):  # its lists may be old
            raise GenerationFailed(f"apt-get could not install {listed}, which {file} asks for.")

    def _install_r(self, names: Sequence[str], library: Path, with_apt: bool, log: IO[bytes]) -> None:
        """Have R packages: those that are there, Debian's where that is allowed, else those of CRAN."""
        if shutil.which("Rscript") is None:
            raise GenerationFailed(f"{R} asks for R packages, and there is no R here: apt-get install r-base-core.")
        library.mkdir(mode=0o700, parents=True, exist_ok=True)
        missing = _missing_r(names, library)
        if missing and self._allow_apt and with_apt:
            debian = [f"r-cran-{name.lower()}" for name in missing]
            known = [name for name in debian if not _run(["apt-cache", "show", "--", name], log)]
            self._install_debian(known, R, with_apt, log)
            missing = _missing_r(names, library)
        if missing:
            _say(log, f"Installing R packages from {self._cran}: {' '.join(missing)} …")
            code = "a <- commandArgs(TRUE); install.packages(a[-(1:2)], lib = a[1], repos = a[2])"
            _run(["Rscript", "--vanilla", "-e", code, str(library), self._cran, *missing], log)
            missing = _missing_r(names, library)
        if missing:
            raise GenerationFailed(
                f"{R} asks for R packages that could not be had from {self._cran}: {' '.join(missing)}. "
                f"As Debian packages they may be {' '.join(f'r-cran-{name.lower()}' for name in missing)}."
            )
        (library / FINISHED).write_text(" ".join(names))


def complaint_of(log: Path) -> str:
    """What a build that failed complained of last, in a few lines of its log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16 * 2**10))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.rstrip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    begun = max((at for at, line in enumerate(lines) if line.endswith(" …")), default=-1)
    lines = lines[begun + 1 :]
    first = next((at for at, line in enumerate(lines) if _COMPLAINT.match(line)), None)
    if first is None:
        return "\n".join(lines[-MAX_COMPLAINT_LINES:])
    lines = lines[first:]
    if len(lines) > MAX_COMPLAINT_LINES:
        half = MAX_COMPLAINT_LINES // 2
        lines = [*lines[:half], "…", *lines[-half:]]
    return "\n".join(lines)


def _is_forsaken(folder: Path) -> bool:
    with suppress(OSError):
        return folder.stat().st_mtime < time.time() - FORSAKEN_S
    return False


def _asks(file: Path) -> bool:
    """Whether a file of requirements is there and asks for anything."""
    return file.is_file() and bool(_lines(file))


def _lines(file: Path) -> list[str]:
    text = file.read_text("utf-8-sig", "replace")
    return [line for raw in text.splitlines() if (line := raw.partition("#")[0].strip())]


def _names(file: Path, pattern: re.Pattern[str], what: str) -> Sequence[str]:
    names = [name for line in _lines(file) for name in line.split()]
    for name in names:
        if not pattern.fullmatch(name):
            raise GenerationFailed(f"{file.name}: {name!r} is not the name of {what}.")
    return names


def _debian_names(file: Path) -> Sequence[str]:
    return _names(file, _DEBIAN_NAME, "a Debian package")


def _missing_debian(names: Sequence[str]) -> list[str]:
    return [name for name in names if not _is_installed(name.partition("=")[0])]


def _is_installed(name: str) -> bool:
    try:
        asked = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", "--", name]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return "installed" in done.stdout.replace("not-installed", "").replace("half-installed", "")


def _missing_r(names: Sequence[str], library: Path) -> list[str]:
    """Those of the R packages that cannot be found."""
    code = "a <- commandArgs(TRUE); .libPaths(a[1]); cat(setdiff(a[-1], rownames(installed.packages())))"
    asked = ["Rscript", "--vanilla", "-e", code, str(library), *names]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else list(names)


def _apt_get(names: Sequence[str] | None, log: IO[bytes]) -> int:
    """Install packages of the system; None reads anew which there are."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    what = ["update"] if names is None else ["install", "--yes", "--no-install-recommends", "--", *names]
    return _run(["apt-get", "-o", "DPkg::Lock::Timeout=300", *what], log, environment)


def _say(log: IO[bytes], text: str) -> None:
    log.write(f"{text}\n".encode())
    log.flush()


def _run(command: Sequence[str], log: IO[bytes], environment: dict[str, str] | None = None) -> int:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, check=False)
    except FileNotFoundError as error:
        _say(log, f"There is no {error.filename}.")
        return 127
    return done.returncode
