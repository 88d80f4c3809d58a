"""What is built is whole: a wheel holds every file of the package, data too."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_package(tmp_path: Path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "deepaas_core", checkout / "deepaas_core", ignore=shutil.ignore_patterns("__pycache__"))
    files = {str(path.relative_to(checkout)) for path in checkout.glob("deepaas_core/**/*") if path.is_file()}

    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(checkout)]
    subprocess.run(build, check=True, capture_output=True, timeout=100)

    [wheel] = tmp_path.glob("*.whl")
    assert files <= set(zipfile.ZipFile(wheel).namelist())
