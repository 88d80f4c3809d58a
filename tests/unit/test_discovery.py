"""Models are found by what packages declare; what one package gets wrong is its own problem only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deepaas_core.errors import PluginError
from deepaas_core.plugins.discovery import discover

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """``install("name", entry_points)`` puts a package's metadata into a folder, and gives the folder."""

    def put(name: str, entry_points: str | bytes, folder: str = "site", metadata: str | None = None) -> Path:
        info = tmp_path / folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        given = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" if metadata is None else metadata
        if given:
            (info / "METADATA").write_text(given)
        content = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
        (info / "entry_points.txt").write_bytes(content)
        return tmp_path / folder

    return put


def targets(*folders: Path, only: tuple[str, ...] = ()) -> dict[str, str]:
    """What is offered: name → entry point."""
    return {source.name: source.target for source in discover(only, [str(folder) for folder in folders]).sources}


def reasons(*folders: Path, only: tuple[str, ...] = ()) -> dict[str, str]:
    """What is not, and why: name → reason."""
    return {problem.name: problem.reason for problem in discover(only, [str(folder) for folder in folders]).problems}


def test_both_groups_are_read_and_a_package_may_declare_several(install: Install):
    site = install("zoo", "[deepaas.model]\ncat = zoo.cat\ndog = zoo.dog:Dog\n[deepaas.v2.model]\nemu = zoo.emu\n")
    install("other", "[console_scripts]\nother = other:main\n")
    assert targets(site) == {"cat": "zoo.cat", "dog": "zoo.dog:Dog", "emu": "zoo.emu"}
    assert reasons(site) == {}


def test_a_source_carries_what_its_distribution_says_of_itself(install: Install):
    metadata = (
        "Metadata-Version: 2.1\nName: zoo\nVersion: 2.3\nSummary: Animals\nAuthor: Ann\nLicense: MIT\n"
        "Project-URL: Documentation, https://docs.example\nProject-URL: Homepage, https://example.org\n"
    )
    site = install("zoo", "[deepaas.model]\ncat = zoo.cat\n", metadata=metadata)
    [source] = discover(path=[str(site)]).sources
    assert (source.distribution, source.version, source.summary) == ("zoo", "2.3", "Animals")
    assert (source.author, source.license, source.homepage) == ("Ann", "MIT", "https://example.org")


def test_the_model_itself_is_not_imported(install: Install):
    site = install("zoo", "[deepaas.model]\ncat = never_imported_by_discovery\n")
    (site / "never_imported_by_discovery.py").write_text("raise SystemExit('imported')")
    assert targets(site) == {"cat": "never_imported_by_discovery"}
    assert "never_imported_by_discovery" not in sys.modules


def test_one_name_in_both_groups_of_a_package_is_one_model_of_the_newer_group(install: Install):
    site = install("zoo", "[deepaas.v2.model]\ncat = zoo.old\n[deepaas.model]\ncat = zoo.new\n")
    [source] = discover(path=[str(site)]).sources
    assert (source.group, source.target) == ("deepaas.model", "zoo.new")


def test_two_packages_that_claim_one_name_are_both_refused_by_name(install: Install):
    install("zoo", "[deepaas.model]\ncat = zoo.cat\ndog = zoo.dog\n")
    site = install("farm", "[deepaas.v2.model]\ncat = farm.cat\n")
    assert targets(site) == {"dog": "zoo.dog"}
    assert "farm and zoo" in reasons(site)["cat"]


def test_a_package_seen_twice_on_the_path_counts_once(install: Install):
    editable = install("my-zoo", "[deepaas.model]\ncat = zoo.cat\n", folder="checkout")
    installed = install("My_Zoo", "[deepaas.model]\ncat = zoo.older\n", folder="site")
    assert targets(editable, installed) == {"cat": "zoo.cat"}
    assert reasons(editable, installed) == {}


@pytest.mark.parametrize("name", ["black cat", "a/b", "../up", "-flag", ".hidden", "châton", "c%61t", "x" * 101])
def test_a_name_that_cannot_stand_in_a_url_is_refused(install: Install, name: str):
    site = install("zoo", f"[deepaas.model]\n{name} = zoo.cat\ndog = zoo.dog\n")
    assert targets(site) == {"dog": "zoo.dog"}
    assert "cannot stand in a URL" in reasons(site)[name]


@pytest.mark.parametrize("name", ["cat", "Cat-2", "cat_v1.2~x", "7", "x" * 100])
def test_a_name_that_can_stand_in_a_url_is_taken(install: Install, name: str):
    assert targets(install("zoo", f"[deepaas.model]\n{name} = zoo.cat\n")) == {name: "zoo.cat"}


@pytest.mark.parametrize("value", ["", "my module", "zoo..cat", "zoo:", ":Cat", "1zoo", "zoo.cat:Cat()", "zoo/cat.py"])
def test_an_entry_point_that_is_none_is_refused_and_quoted(install: Install, value: str):
    site = install("zoo", f"[deepaas.model]\ncat = {value}\ndog = zoo.dog\n")
    assert targets(site) == {"dog": "zoo.dog"}
    assert f"{value!r} is not of the form module" in reasons(site)["cat"]


@pytest.mark.parametrize("value", ["zoo.cat : Cat.new", "zoo.cat:Cat.new [gpu, fast]"])
def test_spaces_and_extras_of_an_entry_point_are_left_out(install: Install, value: str):
    assert targets(install("zoo", f"[deepaas.model]\ncat = {value}\n")) == {"cat": "zoo.cat:Cat.new"}


@pytest.mark.parametrize(
    "broken, metadata, named",
    [
        (b"[deepaas.model]\nno equals sign\ncat = zoo.cat\n", None, "zoo"),
        (b"\xff\xfe[deepaas.model]\ncat = zoo.cat\n", None, "zoo"),
        (b"[deepaas.model]\ncat = zoo.cat\n", "", "cat"),
        (b"[deepaas.model]\ncat = zoo.cat\n", "Metadata-Version: 2.1\n", "cat"),
        (b"[deepaas.model]\nno equals sign\n", "", "?"),
    ],
    ids=["entry without value", "not text", "no metadata", "no name", "nothing readable"],
)
def test_a_package_with_broken_metadata_is_a_problem_and_stops_nobody_else(
    install: Install, broken: bytes, metadata: str | None, named: str
):
    install("zoo", broken, metadata=metadata)
    site = install("farm", "[deepaas.model]\ncow = farm.cow\n")
    assert targets(site) == {"cow": "farm.cow"}
    assert set(reasons(site)) == {named}
    assert str(site) not in reasons(site)[named]


def test_broken_packages_without_models_are_nobodys_problem(install: Install):
    install("left-over", "", metadata="")
    install("tool", b"[console_scripts]\n\xff\n")
    site = install("farm", "[deepaas.model]\ncow = farm.cow\n")
    assert targets(site) == {"cow": "farm.cow"}
    assert reasons(site) == {}


def test_only_the_models_asked_for_are_found_and_only_their_problems(install: Install):
    site = install("zoo", "[deepaas.model]\ncat = zoo.cat\ndog = zoo.dog\nbad name = zoo.cat\nemu = \n")
    assert targets(site, only=("cat", "emu")) == {"cat": "zoo.cat"}
    assert set(reasons(site, only=("cat", "emu"))) == {"emu"}


def test_asking_for_a_model_that_nobody_declares_tells_which_there_are(install: Install):
    site = install("zoo", "[deepaas.model]\ncat = zoo.cat\ndog = zoo.dog\n")
    with pytest.raises(PluginError, match=r"a model 'cow'; there is cat, dog\."):
        discover(("cow", "cat"), [str(site)])


def test_where_nothing_is_installed_nothing_is_found(tmp_path: Path):
    assert targets(tmp_path) == {}
    with pytest.raises(PluginError, match="none at all"):
        discover(("cow",), [str(tmp_path)])
