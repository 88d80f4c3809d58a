"""What a generation's requirement files ask for is made once, apart from what others ask for, or said to be missing."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deepaas_core.errors import GenerationFailed
from deepaas_core.publishing.building import Builder, complaint_of

pytestmark = pytest.mark.slow


def wheel(folder: Path, version: str) -> Path:
    """A wheel of a package that only knows its version."""
    path = folder / f"garden-{version}-py3-none-any.whl"
    info = f"garden-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("garden.py", f"VERSION = {version!r}\n")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: garden\nVersion: {version}\n")
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "generation"
    made.mkdir()
    return made


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        yield file


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path / "built", cran="http://127.0.0.1:9")


def test_a_generation_that_asks_for_nothing_needs_no_environment(builder, folder):
    (folder / "requirements-py.txt").write_text("# nothing yet\n")
    ready = builder.ready(folder)
    assert ready is not None
    assert (ready.environment, ready.r_library) == (None, None)


def test_generations_that_need_conflicting_versions_have_their_own(builder, tmp_path, log):
    found = {}
    for version in ("1.0", "2.0"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "requirements-py.txt").write_text(f"{wheel(folder, version).as_uri()}\n")
        assert builder.ready(folder) is None
        environment = builder.build(folder, log).environment
        assert builder.ready(folder).environment == environment
        found[version] = environment.interpreter
    for version, python in found.items():
        said = subprocess.run([python, "-c", "import garden; print(garden.VERSION)"], capture_output=True, text=True)
        assert said.stdout.strip() == version


def test_what_cannot_be_installed_is_said_and_logged(builder, folder, tmp_path, log):
    (folder / "requirements-py.txt").write_text("./no-such-thing.whl\n")
    with pytest.raises(GenerationFailed, match="requirements-py"):
        builder.build(folder, log)
    assert "no-such-thing" in complaint_of(tmp_path / "log")
    assert builder.ready(folder) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Making an environment …\nUsing Python 3.11\nerror: No solution\n  cause: none",
            "error: No solution\n  cause: none",
        ),
        ("Making …\n\x1b[31m  × Failed to build\x1b[0m\n  hint: a compiler", "  × Failed to build\n  hint: a compiler"),
        (
            "error: of before\nInstalling R packages …\nWarning message:\nnot available",
            "Warning message:\nnot available",
        ),
        ("Making …\nit just ended", "it just ended"),
        ("", ""),
    ],
)
def test_of_a_log_only_the_last_complaint_is_told(tmp_path, said, told):
    (tmp_path / "log").write_text(said)
    assert complaint_of(tmp_path / "log") == told


def test_of_a_long_complaint_its_beginning_and_its_end_are_told(tmp_path):
    (tmp_path / "log").write_text("\n".join(["error: it broke", *map(str, range(100)), "No module named 'x'"]))
    lines = complaint_of(tmp_path / "log").splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("error: it broke", "No module named 'x'", 15)


@pytest.mark.parametrize(
    ("allowed", "asked", "told"),
    [(False, True, r"services\.allow_apt"), (True, False, "published with --allow-apt")],
)
def test_packages_of_the_system_are_only_installed_if_that_is_asked_for_and_allowed(
    tmp_path, folder, log, allowed, asked, told
):
    (folder / "requirements-apt.txt").write_text("no-such-package-at-all\n")
    with pytest.raises(GenerationFailed, match=told):
        Builder(tmp_path / "built", allow_apt=allowed).build(folder, log, with_apt=asked)


def test_what_no_generation_needs_any_more_is_removed(builder, tmp_path, folder, log):
    other = tmp_path / "other"
    other.mkdir()
    for one, version in ((folder, "1.0"), (other, "2.0")):
        (one / "requirements-py.txt").write_text(f"{wheel(one, version).as_uri()}\n")
        builder.build(one, log)
    forsaken = tmp_path / "built" / ("0" * 32)
    forsaken.mkdir()

    builder.tidy([folder, other])
    assert builder.ready(folder)
    assert builder.ready(other)
    assert forsaken.exists()  # somebody may be making it

    os.utime(forsaken, (1, 1))
    builder.tidy([folder], over=[other])
    assert builder.ready(folder)
    assert builder.ready(other) is None
    assert not forsaken.exists()


@pytest.mark.parametrize("name", ["--option", "a;b", "../x", "$(x)"])
def test_what_is_no_name_of_a_package_is_refused(builder, folder, name, log):
    (folder / "requirements-apt.txt").write_text(f"{name}\n")
    with pytest.raises(GenerationFailed, match="not the name of"):
        builder.build(folder, log)


def test_r_packages_that_cannot_be_had_are_named(builder, folder, log):
    (folder / "requirements-r.txt").write_text("noSuchPackageAtAll\n")
    with pytest.raises(GenerationFailed, match=r"noSuchPackageAtAll|no R here"):
        builder.build(folder, log)


def test_requirements_that_were_only_half_installed_are_installed_again(builder, folder, log):
    (folder / "requirements-py.txt").write_text(f"{wheel(folder, '1.0').as_uri()}\n")
    made = Path(builder.build(folder, log).environment.prefix)
    (made / "deepaas-core.json").unlink()
    assert builder.ready(folder) is None
    assert builder.build(folder, log).environment.python.split(".")[:2] == list(map(str, sys.version_info[:2]))
