"""The commands for services, as somebody would type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepaas_core.cli import main
from tests.commands import typed
from tests.e2e.server import Server

pytestmark = pytest.mark.e2e
DEFINITION = """
name = "churn"

[endpoints.score]
kind = "function"
script = "score.py:predict"

[[tests]]
endpoint = "score"
arguments = {x = 2.0}
expected = 3.0
"""


def command(server: Server | None, *arguments: str, code: int = 0) -> str:
    """What a command prints; its complaints if it is to fail."""
    where = {"DEEPAAS_CORE_SERVER": server.url} if server else {}
    done = typed(*arguments, **where)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "churn"
    made.mkdir()
    (made / "service.toml").write_text(DEFINITION)
    (made / "score.py").write_text("def predict(x: float, more: float = 1.0):\n    return x + more\n")
    return made


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_folder_is_published_deployed_split_and_rolled_back(
    server: Server, folder: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(folder.parent)  # where the service and its folder have one name
    server.start()
    assert "The folder: deepaas-core deploy ./churn" in command(server, "deploy", "churn", code=2)
    assert "generation v1 of churn" in command(server, "publish", str(folder), "--notes", "The first.")
    assert "v1 is live" in command(server, "deploy", "churn", "v1")
    (folder / "score.py").write_text("def predict(x: float):\n    return x + 1\n")
    said = command(server, "deploy", str(folder))
    assert "v2 is live" in said
    assert "curl" in said
    assert "v1 30 %, v2 70 % are live" in command(server, "split", "churn", "v1=0.3", "v2=0.7")
    assert "v2 is live" in command(server, "rollback", "churn")
    listed = json.loads(command(server, "generations", "churn", "--json"))["generations"]
    assert [(each["version"], each["share"]) for each in listed] == [("v1", 0.0), ("v2", 1.0)]
    assert "~ score.py" in command(server, "diff", "churn", "v2")
    assert "1 of 1 test queries passed" in command(server, "test", "churn")
    (folder / "score.py").write_text("def predict(x: float):\n    return x + 2\n")
    failed = command(server, "deploy", str(folder), code=1)
    assert "4.0 instead of 3.0" in failed
    assert "Live as before: v2" in failed
    command(None, "test", str(folder), code=1)
    command(server, "download", "churn", "v1", "--to", str(tmp_path / "old.zip"))
    assert (tmp_path / "old.zip").stat().st_size > 100
    command(server, "delete", "churn", "v2", code=1)
    command(server, "delete", "churn", "v1")
    command(server, "disable", "churn")
    assert "disabled" in command(server, "services")
    command(server, "delete", "churn")
    command(server, "generations", "churn", code=4)


@pytest.mark.slow
def test_a_function_of_a_script_becomes_a_service(server: Server, tmp_path: Path):
    script = tmp_path / "root.py"
    script.write_text("import math\n\ndef root(x: float) -> float:\n    return math.sqrt(x)\n")
    tried = command(None, "deploy", f"{script}:root", "--dry-run", "--arg", "x=9")
    assert "root answers in" in tried
    assert "3.0" in tried
    server.start()
    assert "v1 is live" in command(server, "deploy", f"{script}:root", "--name", "roots", "--workers", "2")
    assert server.ask("/api/v1/services/roots/endpoints/root", {"x": 16}).json["result"] == 4.0
    command(server, "test", "add", "roots", "root", "--data", '{"x": 25}', "--expect")
    assert "1 of 1 test queries passed" in command(server, "test", "roots")
    assert "has 0 test queries" in command(server, "test", "remove", "roots", "1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("deploy {here}/x.py", "which function"),
        ("deploy {here}/x.py:f", "no script"),
        ("deploy {here}/x", "no folder"),
        ("publish {here}/x", "no folder"),
        ("split churn v1", "VERSION=NUMBER"),
        ("split churn v1=nan", "VERSION=NUMBER"),
        ("split churn v1=0.3 v1=0.7", "one share"),
        ("deploy churn --dry-run", "--dry-run is for"),
    ],
)
def test_what_cannot_be_meant_is_said(tmp_path: Path, capsys, arguments: str, told: str):
    assert main(arguments.format(here=tmp_path).split()) == 2
    assert told in capsys.readouterr().err
