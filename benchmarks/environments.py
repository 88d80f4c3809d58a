"""Environments of the targets: one of its own for each, so that no peer bends another's dependencies.

An environment is made in two steps: what the target itself needs, whose size is written down, then what the models
need. ``uv`` is used where there is one, else venv and pip.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent
FOLDER = HERE / ".environments"
MODELS = HERE / "models"
MODEL_REQUIREMENTS = ("numpy", "scikit-learn")
#: What of the project goes into its package.
SOURCES = ("deepaas_core", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")


@dataclass(frozen=True)
class Environment:
    """What a target is installed from.

    Attributes:
        name: Its folder below ``.environments``.
        requirements: For the installer; the distribution whose version is stated comes first.
        python: The interpreter's version, where the target does not run on the harness's own.
        from_source: Whether the project itself is installed, as it lies there.
    """

    name: str
    requirements: tuple[str, ...]
    python: str | None = None
    from_source: bool = False

    @property
    def folder(self) -> Path:
        """Where it is."""
        return FOLDER / self.name

    def program(self, name: str) -> str:
        """The path of an installed command."""
        return str(self.folder / "bin" / name)

    def prepare(self) -> None:
        """Make it, unless it is there and up to date.

        Raises:
            subprocess.CalledProcessError: The installation failed; its ``stderr`` says why.
        """
        wanted = {"requirements": self.requirements, "python": self.python, "source": self._digest_of_sources()}
        stamp = self.folder / "benchmark.json"
        known = json.loads(stamp.read_text()) if stamp.exists() else {}
        if known.get("wanted") == json.loads(json.dumps(wanted)):
            return
        if not known or known["wanted"]["requirements"] != list(self.requirements):
            shutil.rmtree(self.folder, ignore_errors=True)
            self._make()
        if self.from_source:
            self._install_project()
        else:
            self._install(*self.requirements)
        size = known.get("size_mb") or self._size_mb()
        self._install(*MODEL_REQUIREMENTS)
        self._install("--no-deps", str(_copy(MODELS, ("bench_models", "pyproject.toml"))))
        stamp.write_text(json.dumps({"wanted": wanted, "size_mb": size}))

    def size_mb(self) -> float:
        """What the target itself takes on the disk, with all it depends on, without the models' libraries."""
        size: float = json.loads((self.folder / "benchmark.json").read_text())["size_mb"]
        return size

    def version(self) -> str:
        """Of the target."""
        distribution = "deepaas-core" if self.from_source else self.requirements[0].split("=")[0].split("[")[0]
        code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
        return _run(self.program("python"), "-c", code).strip()

    def _digest_of_sources(self) -> str:
        files = sorted(file for file in MODELS.rglob("*.py") if "build" not in file.parts)
        if self.from_source:
            files += sorted((PROJECT / "deepaas_core").rglob("*.py"))
            files.append(PROJECT / "setup.cfg")
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()

    def _make(self) -> None:
        version = self.python or f"{sys.version_info.major}.{sys.version_info.minor}"
        if shutil.which("uv"):
            _run("uv", "venv", "--quiet", "--python", version, str(self.folder))
        else:
            _run(f"python{version}", "-m", "venv", str(self.folder))

    def _install_project(self) -> None:
        self._install("--force-reinstall", "--no-deps", str(_copy(PROJECT, SOURCES)))
        self._install(*self.requirements, str(_copy(PROJECT, SOURCES)))

    def _install(self, *arguments: str) -> None:
        if shutil.which("uv"):
            installer = ["uv", "pip", "install", "--quiet", "--python", self.program("python")]
            if arguments[-1].startswith("/"):
                installer.append("--no-cache")
        else:
            installer = [self.program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(*installer, *arguments)

    def _size_mb(self) -> float:
        (packages,) = (self.folder / "lib").glob("python*/site-packages")
        return sum(
            file.lstat().st_blocks * 512
            for file in packages.rglob("*")
            if file.is_file() and file.relative_to(packages).parts[0].split("-")[0] not in ("pip", "setuptools")
        ) / (1 << 20)


def _copy(source: Path, names: tuple[str, ...]) -> Path:
    """A copy to build from, so that a build leaves nothing behind in the source."""
    target = FOLDER / "sources" / source.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (source / name).exists():
            shutil.copy(source / name, target / name)
    return target


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
