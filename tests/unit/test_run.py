"""What a model says of its own run, and that it says nothing outside of one."""

from __future__ import annotations

import json
import os
from decimal import Decimal

import numpy as np
import pytest

from deepaas_core import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the run in which we are."""
    (tmp_path / "artifacts").mkdir()
    monkeypatch.setenv("DEEPAAS_CORE_RUN_DIR", str(tmp_path))
    return tmp_path


def told(folder):
    lines = (folder / "events.ndjson").read_text().splitlines()
    return [(event["event"], event["values"]) for event in map(json.loads, lines)]


def test_outside_a_run_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.report(loss=1)
    run.progress(1, 2)
    run.artifact("there is no such file")
    assert run.cancelled() is False
    assert run.model_dir() is None
    assert run.resume_from() is None
    assert os.listdir(tmp_path) == []


def test_numbers_of_any_library_are_numbers(folder):
    run.report(a=np.float32(0.5), b=np.int64(3), c=np.array([1.5]), d=Decimal("2.5"), e=np.bool_(True), f=np.float64(1))
    assert told(folder) == [("metrics", {"a": 0.5, "b": 3, "c": [1.5], "d": 2.5, "e": True, "f": 1.0})]


def test_what_json_does_not_know_is_told_as_well_as_it_can_be(folder):
    run.report(
        **{"\ud800": "\udfff"}, nan=float("nan"), inf=-np.inf, big=10**30, huge=10**400, path=folder, deep={1: (2,)}
    )
    [(_, values)] = told(folder)
    assert values == {
        "?": "?",
        "nan": None,
        "inf": None,
        "big": 1e30,
        "huge": None,
        "path": str(folder),
        "deep": {"1": [2]},
    }


def test_what_cannot_be_told_costs_no_training(folder, capsys):
    class Broken:
        def __str__(self):
            raise RuntimeError("not even that")

    endless = []
    endless.append(endless)
    for value in (Broken(), endless, "x" * 2**20):
        run.report(value=value)
    assert capsys.readouterr().err.count("deepaas_core.run: metrics lost: ") == 3
    run.report(loss=1)
    assert told(folder) == [("metrics", {"loss": 1})]


def test_files_and_folders_are_kept(folder, tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "a.txt").write_text("abc")
    (source / "deep" / "b.txt").write_text("de")
    run.artifact(source / "a.txt")
    run.artifact(str(source / "a.txt"), name="plots/second.txt")
    run.artifact(source, name="saved")
    (source / "a.txt").unlink()
    run.artifact(source, name="saved")
    kept = folder / "artifacts"
    assert (kept / "a.txt").read_text() == (kept / "plots" / "second.txt").read_text() == "abc"
    assert [path.name for path in (kept / "saved").rglob("*.txt")] == ["b.txt"]
    assert [(values["name"], values["bytes"]) for _, values in told(folder)] == [
        ("a.txt", 3),
        ("plots/second.txt", 3),
        ("saved", 5),
        ("saved", 2),
    ]
    assert sorted(os.listdir(folder)) == ["artifacts", "events.ndjson", "source"]


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "."])
def test_no_artifact_leaves_the_runs_folder(folder, name):
    with pytest.raises(ValueError, match="must be a path below"):
        run.artifact(__file__, name=name)


def test_an_artifact_that_is_not_there_is_an_error(folder):
    with pytest.raises(FileNotFoundError):
        run.artifact("there is no such file")
    assert os.listdir(folder / "artifacts") == []
