"""What ``deepaas-core new service`` writes is a service that goes live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepaas_core import cli
from deepaas_core.publishing import archive
from tests.services import make_live


def test_what_is_to_be_made_must_be_said(capsys):
    assert cli.main(["new"]) == 2
    assert cli.main(["new", "model", "here"]) == 2
    assert "deepaas-core new service FOLDER" in capsys.readouterr().err


async def test_a_new_service_passes_its_own_test_queries(serve, tmp_path: Path, capsys):
    folder = tmp_path / "houses"
    assert cli.main(["new", "service", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["service"] == "houses"
    packed = tmp_path / "houses.zip"
    archive.pack(folder, packed)

    await make_live(await serve(), "/api/v1/services/houses", packed.read_bytes())


@pytest.mark.parametrize("name", ["", "a b", "../x"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str, capsys):
    assert cli.main(["new", "service", str(tmp_path / "new"), "--name", name or "-"]) == 2
    assert "cannot be the name of a service" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys):
    (tmp_path / "score.py").write_text("mine")

    assert cli.main(["new", "service", str(tmp_path), "--name", "x"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "score.py").read_text() == "mine"
