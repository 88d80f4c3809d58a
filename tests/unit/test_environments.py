"""Models of other environments are found by looking at files, in whatever way the environment is laid out."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepaas_core.domain.model import Environment
from deepaas_core.errors import SettingsError
from deepaas_core.plugins.discovery import Discovery, discover
from deepaas_core.plugins.environments import FINISHED, library_folders, read_environment, read_environments


def put(folder: Path, name: str, kind: str = "dist-info", model: str = "") -> None:
    """The metadata of a package with one model."""
    info = folder / f"{name}.{kind}"
    info.mkdir(parents=True)
    (info / ("PKG-INFO" if kind == "egg-info" else "METADATA")).write_text(f"Name: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[deepaas.model]\n{model or name} = {name}\n")


def prefix(root: Path, python: str = "3.9", config: str | None = "", program: str = "python") -> Path:
    """A folder that looks like an environment; its Python could not even be started."""
    (root / "bin").mkdir(parents=True)
    (root / "bin" / program).write_text("#!/bin/false\n")
    (root / "bin" / program).chmod(0o755)
    (root / "lib" / f"python{python}" / "site-packages").mkdir(parents=True)
    if config is not None:
        (root / "pyvenv.cfg").write_text(config or f"home = /nowhere/bin\nversion = {python}.7\n")
    return root


def found(*environments: Path) -> Discovery:
    return discover(path=[], environments=[read_environment(path) for path in environments])


def names(*environments: Path) -> list[str]:
    return [source.name for source in found(*environments).sources]


def reasons(*environments: Path) -> dict[str, str]:
    return {problem.name: problem.reason for problem in found(*environments).problems}


@pytest.mark.parametrize(
    "config, python",
    [
        ("home = /nowhere/bin\nversion = 3.9.18\n", "3.9.18"),
        ("home = /nowhere/bin\nversion_info = 3.9.18.final.0\n", "3.9.18"),
        ("home=/nowhere/bin\nuv = 0.13.8\nversion_info = 3.9.18\n", "3.9.18"),
        ("home = /nowhere/bin\n", "3.9"),
    ],
    ids=["venv", "virtualenv", "uv", "nothing said"],
)
def test_a_virtual_environment_tells_its_python_without_being_started(tmp_path: Path, config: str, python: str):
    root = prefix(tmp_path / "old", config=config)
    put(root / "lib/python3.9/site-packages", "cat")
    [source] = found(root).sources
    assert source.environment == Environment("old", str(root), str(root / "bin" / "python"), python)


def test_a_conda_prefix_is_an_environment(tmp_path: Path):
    root = prefix(tmp_path / "tf1", config=None)
    (root / "conda-meta").mkdir()
    (root / "conda-meta" / "python-3.9.18-h955ad1f_0.json").touch()
    (root / "conda-meta" / "python-dateutil-2.8.2-pyhd3eb1b0_0.json").touch()
    put(root / "lib/python3.9/site-packages", "cat")
    [source] = found(root).sources
    assert source.environment is not None
    assert (source.environment.python, source.environment.conda) == ("3.9.18", True)


def test_packages_of_debian_are_found(tmp_path: Path):
    root = prefix(tmp_path / "usr", "3.11", config=None, program="python3")
    put(root / "local/lib/python3.11/dist-packages", "cat")
    put(root / "lib/python3/dist-packages", "dog")
    assert names(root) == ["cat", "dog"]


def test_packages_of_fedora_are_found_once(tmp_path: Path):
    root = prefix(tmp_path / "env")
    put(root / "lib64/python3.9/site-packages", "cat")
    linked = prefix(tmp_path / "linked")
    (linked / "lib64").symlink_to("lib")
    put(linked / "lib/python3.9/site-packages", "dog")
    assert names(root, linked) == ["cat", "dog"]


def test_editable_installs_are_found(tmp_path: Path):
    root = prefix(tmp_path / "env")
    site = root / "lib/python3.9/site-packages"
    put(site, "modern")  # as pip leaves it: the metadata here, the code by a finder or a .pth file
    (site / "__editable__.modern-1.0.pth").write_text("import __editable___modern_finder; 1 / 0\n")
    put(tmp_path / "checkout", "modern", "egg-info", model="left-over")
    put(tmp_path / "older", "old", "egg-info")  # as setup.py develop does
    (site / "easy-install.pth").write_text(f"# comment\n{tmp_path / 'older'}\n{tmp_path / 'checkout'}\n/gone\n")
    (site / "old.egg-link").write_text(f"{tmp_path / 'older'}\n.")
    assert names(root) == ["modern", "old"]


@pytest.mark.parametrize("included, expected", [("true", ["cat", "dog"]), ("false", ["cat"])])
def test_packages_of_the_system_are_found_where_the_environment_sees_them(
    tmp_path: Path, included: str, expected: list[str]
):
    base = prefix(tmp_path / "base", config=None)
    put(base / "lib/python3.9/site-packages", "dog")
    config = f"home = {base / 'bin'}\ninclude-system-site-packages = {included}\nversion = 3.9.18\n"
    root = prefix(tmp_path / "env", config=config)
    put(root / "lib/python3.9/site-packages", "cat")
    assert names(root) == expected


def test_what_the_environment_has_goes_before_what_the_system_has(tmp_path: Path):
    base = prefix(tmp_path / "base", config=None)
    put(base / "lib/python3.9/site-packages", "cat", model="older")
    config = f"home = {base / 'bin'}\ninclude-system-site-packages = true\nversion = 3.9.18\n"
    root = prefix(tmp_path / "env", config=config)
    put(root / "lib/python3.9/site-packages", "cat", model="newer")
    assert names(root) == ["newer"]


def test_a_name_in_two_environments_is_refused_and_stops_nobody_else(tmp_path: Path):
    old, new = prefix(tmp_path / "old"), prefix(tmp_path / "new")
    for root in (old, new):
        put(root / "lib/python3.9/site-packages", "cat")
    put(new / "lib/python3.9/site-packages", "dog")
    assert names(old, new) == ["dog"]
    assert "cat (in old) and cat (in new)" in reasons(old, new)["cat"]
    own = discover(path=[str(old / "lib/python3.9/site-packages")], environments=[read_environment(new)])
    assert [source.name for source in own.sources] == ["dog"]
    assert "the server's own" in own.problems[0].reason


def test_a_package_that_the_server_sees_itself_is_its_own(tmp_path: Path):
    root = prefix(tmp_path / "env")
    put(root / "lib/python3.9/site-packages", "cat")
    site = str(root / "lib/python3.9/site-packages")
    [source] = discover(path=[site], environments=[read_environment(root)]).sources
    assert source.environment is None


def test_models_of_a_python_that_is_too_old_are_refused(tmp_path: Path):
    root = prefix(tmp_path / "ancient", "3.8", config="version = 3.8.18\n")
    put(root / "lib/python3.8/site-packages", "cat")
    assert "Python 3.8.18" in reasons(root)["cat"]
    assert "3.9 or newer" in reasons(root)["cat"]


def test_models_whose_python_is_gone_are_refused(tmp_path: Path):
    root = prefix(tmp_path / "env")
    put(root / "lib/python3.9/site-packages", "cat")
    (root / "bin" / "python").unlink()
    (root / "bin" / "python").symlink_to("/nowhere/python3.9")
    assert "is gone" in reasons(root)["cat"]
    assert str(tmp_path) not in reasons(root)["cat"]


def test_an_environment_is_called_like_its_folder_if_that_says_something(tmp_path: Path):
    assert read_environment(prefix(tmp_path / "plants" / ".venv")).name == "plants"
    assert read_environment(prefix(tmp_path / "plants" / "tf2")).name == "tf2"


@pytest.mark.parametrize("text", ["nothing", "./empty", "/nowhere/at/all", "half"])
def test_what_is_no_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    prefix(tmp_path / "made" / "half")
    with pytest.raises(SettingsError):
        read_environments([text], tmp_path / "made")


def test_environments_are_known_by_name_and_by_folder_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    ours = prefix(tmp_path / "made" / "ours")
    (ours / FINISHED).write_text("{}")
    prefix(tmp_path / "theirs")
    asked = ["ours", "theirs", str(tmp_path / "theirs"), "./made/ours"]
    assert [environment.name for environment in read_environments(asked, tmp_path / "made")] == ["ours", "theirs"]


def test_unreadable_pth_files_are_left_alone(tmp_path: Path):
    root = prefix(tmp_path / "env")
    site = root / "lib/python3.9/site-packages"
    (site / "bad.pth").write_bytes(b"\xff\xfe\x00/x\n")
    (site / "folder.pth").mkdir()
    assert library_folders(read_environment(root)) == [str(site)]
