"""Models with an interpreter and libraries of their own, served by the real command; nothing here needs a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from deepaas_core import cli
from tests.commands import Done, run_here
from tests.e2e.server import Server, until

MODEL = """
    import os
    import sys

    from deepaas.model.v2.wrapper import UploadedFile
    from deepaas_core import InputError, run

    class HTTPException(Exception):  # as every aiohttp has it
        status, reason = 404, "no such plant"

    def predict(what: str = ""):
        if what == "refuse":
            raise HTTPException
        if what == "complain":
            raise InputError("too green", "what")
        try:
            import aiohttp
        except ImportError:
            aiohttp = None
        version = ".".join(map(str, sys.version_info[:2]))
        assert UploadedFile(name="x").name == "x"
        return [sys.prefix, version, aiohttp is None, os.environ.get("PYTHONPATH")]

    def train(patience: str = ""):
        while patience and not os.path.exists(patience):
            pass
        run.report(loss=0.5)
        (run.model_dir() / "weights").write_text(sys.prefix)
        return sys.prefix
"""


def environment(folder: Path, python: str = sys.executable, model: str = "plant") -> Path:
    """A virtual environment with one model and nothing else."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    [site] = folder.glob("lib/python3.*/site-packages")
    (site / f"{model}_module.py").write_text(textwrap.dedent(MODEL))
    info = site / f"{model}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {model}\nVersion: 1.0\nSummary: Knows plants.\n")
    (info / "entry_points.txt").write_text(f"[deepaas.v2.model]\n{model} = {model}_module\n")
    return folder


def wheel(folder: Path, model: str) -> Path:
    """A wheel with the same model."""
    path = folder / f"{model}-1.0-py3-none-any.whl"
    info = f"{model}-1.0.dist-info"
    files = {
        f"{model}_module.py": textwrap.dedent(MODEL),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {model}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[deepaas.model]\n{model} = {model}_module\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, content)
    return path


def other_pythons() -> dict[str, str]:
    """The other versions of Python on this machine, by their names for a model."""
    found = {}
    for minor in (9, 10, 12, 13):
        installed = Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python")
        for candidate in filter(shutil.which, [*map(str, installed), f"python3.{minor}"]):
            with_venv = [candidate, "-c", "import sys, venv; print(*sys.version_info[:2], sep='.')"]
            said = subprocess.run(with_venv, capture_output=True, text=True, check=False)
            if said.stdout.strip() == f"3.{minor}":
                found[f"on_3_{minor}"] = candidate
    return found or pytest.skip("there is no other Python here")


def command(*arguments: str, data: Path, **variables: str) -> Done:
    environ = {**os.environ, "COLUMNS": "200", **variables}
    return run_here(cli.main, [*arguments, "--data-dir", str(data)], environ, data.parent)


def trained(server: Server, location: str) -> dict[str, object]:
    """A run, once it is over."""
    run: dict[str, object] = until(
        lambda: (found := server.ask(location).json)["state"] in ("succeeded", "failed", "interrupted") and found
    )
    return run


@pytest.mark.e2e
def test_a_model_runs_in_its_own_environment(server: Server, tmp_path: Path):
    folder = environment(tmp_path / "greenhouse")
    server.start("--environment", str(folder), "--model", "plant")
    assert f"Python {sys.version.split()[0]} in greenhouse" in server.log
    version = ".".join(map(str, sys.version_info[:2]))
    prediction = server.ask("/api/v1/models/plant/predict", {}).json["prediction"]
    assert prediction == [str(folder), version, True, None]
    refused = server.ask("/api/v1/models/plant/predict", {"what": "refuse"})
    assert (refused.status, refused.json["detail"]) == (404, "no such plant")
    assert server.ask("/api/v1/models/plant/predict", {"what": "complain"}).status == 422
    document = server.ask("/api/v1/models/plant")
    assert document.json["environment"] == {"name": "greenhouse", "python": sys.version.split()[0]}
    for path in ("/api/v1/models", "/api/v1/models/plant", "/openapi.json", "/readyz", "/"):
        assert str(tmp_path).encode() not in server.ask(path).body
    accepted = server.ask("/api/v1/models/plant/train", {})
    run = trained(server, accepted.headers["Location"])
    assert (run["state"], run["result"]) == ("succeeded", str(folder))


@pytest.mark.e2e
def test_models_run_in_other_pythons(server: Server, tmp_path: Path):
    folders = {model: environment(tmp_path / model, python, model) for model, python in other_pythons().items()}
    asked = [word for model, folder in folders.items() for word in ("--environment", str(folder), "--model", model)]
    server.start(*asked)
    runs = {model: server.ask(f"/api/v1/models/{model}/train", {}).headers["Location"] for model in folders}
    for model, folder in folders.items():
        prediction = server.ask(f"/api/v1/models/{model}/predict", {}).json["prediction"]
        assert prediction[:3] == [str(folder), model.removeprefix("on_").replace("_", "."), True]
        refused = server.ask(f"/api/v1/models/{model}/predict", {"what": "refuse"})
        assert (refused.status, refused.json["detail"]) == (404, "no such plant")
        run = trained(server, runs[model])
        assert (run["state"], run["result"]) == ("succeeded", str(folder))


@pytest.mark.e2e
def test_a_queued_run_remembers_its_environment_over_a_crash_of_the_server(server: Server, tmp_path: Path):
    folder, patience = environment(tmp_path / "greenhouse"), tmp_path / "enough"
    server.start("--environment", str(folder), "--model", "plant", "--training-max-concurrent-runs", "1")
    first = server.ask("/api/v1/models/plant/train", {"patience": str(patience)}).headers["Location"]
    second = server.ask("/api/v1/models/plant/train", {}).headers["Location"]
    until(lambda: server.ask(first).json["state"] == "running")
    server.process.kill()
    server.process.wait()
    server.install("other", "def predict():\n    return 1\n")
    server.start("--training-max-concurrent-runs", "1")
    assert server.ask(second).json["state"] == "queued"
    patience.touch()
    assert [trained(server, run)["result"] for run in (first, second)] == [str(folder), str(folder)]


@pytest.mark.e2e
def test_a_name_that_two_environments_have_is_refused_and_the_rest_is_served(server: Server, tmp_path: Path):
    one, two = environment(tmp_path / "one"), environment(tmp_path / "two")
    environment(two, model="tree")
    server.start("--environment", str(one), "--environment", str(two), "--model", "plant", "--model", "tree")
    assert server.ask("/api/v1/models/tree/predict", {}).status == 200
    refused = server.ask("/api/v1/models/plant/predict", {})
    assert refused.status == 503
    assert "plant (in one) and plant (in two)" in refused.json["detail"]


@pytest.mark.e2e
def test_several_http_processes_serve_another_environment(server: Server, tmp_path: Path):
    folder = environment(tmp_path / "greenhouse")
    server.start("--environment", str(folder), "--model", "plant", "--http-workers", "2")
    assert server.ask("/api/v1/models/plant/predict", {}).json["prediction"][0] == str(folder)
    assert server.ask("/api/v1/models/plant").json["environment"]["name"] == "greenhouse"
    refused = server.ask("/api/v1/models/plant/predict", {"what": "refuse"})
    assert (refused.status, refused.json["detail"]) == (404, "no such plant")


@pytest.mark.e2e
def test_check_and_models_tell_the_interpreter(tmp_path: Path):
    folder, data = environment(tmp_path / "greenhouse"), tmp_path / "data"
    for verb in ("models", "check"):
        done = command(verb, "--json", "--environment", str(folder), "--model", "plant", data=data)
        [report] = json.loads(done.stdout)
        expected = {"name": "greenhouse", "interpreter": str(folder / "bin/python"), "python": sys.version.split()[0]}
        assert (done.returncode, report["environment"]) == (0, expected)
        assert "greenhouse" in command(verb, "--environment", str(folder), "--model", "plant", data=data).stdout


@pytest.mark.e2e
def test_an_environment_that_is_none_is_told(tmp_path: Path):
    for asked in ("nothing", str(tmp_path), "./gone"):
        done = command("serve", "--environment", asked, data=tmp_path / "data")
        assert done.returncode == 2
        assert "environment" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.e2e
def test_an_environment_is_made_served_by_name_and_removed(server: Server, tmp_path: Path):
    data = tmp_path / "data"
    (tmp_path / "requirements.txt").write_text(f"{wheel(tmp_path, 'plant').as_uri()}\n")
    asked = ("--requirements", str(tmp_path / "requirements.txt"))
    made = command("environment", "create", "garden", *asked, data=data, UV_OFFLINE="1")
    assert made.returncode == 0, made.stderr
    assert "Models: plant" in made.stdout
    [listed] = json.loads(command("environment", "list", "--json", data=data).stdout)
    assert (listed["name"], listed["models"]) == ("garden", ["plant"])
    again = command("environment", "create", "garden", "six", data=data, UV_OFFLINE="1")
    assert (again.returncode, "already" in again.stderr) == (2, True)

    server.start("--environment", "garden", "--model", "plant")
    assert server.ask("/api/v1/models/plant/predict", {}).json["prediction"][0] == str(data / "environments" / "garden")
    kept = command("environment", "remove", "garden", data=data)
    assert (kept.returncode, "runs in the environment" in kept.stderr) == (2, True)
    server.stop()
    assert command("environment", "remove", "garden", data=data).returncode == 0
    assert json.loads(command("environment", "list", "--json", data=data).stdout) == []
    assert command("environment", "remove", "garden", data=data).returncode == 4


@pytest.mark.e2e
def test_nothing_is_left_of_an_environment_that_cannot_be_made(tmp_path: Path):
    data = tmp_path / "data"
    done = command("environment", "create", "garden", "./no-such-thing.whl", data=data, UV_OFFLINE="1")
    assert done.returncode == 1
    assert "uv pip ended with exit code" in done.stderr
    assert json.loads(command("environment", "list", "--json", data=data).stdout) == []


@pytest.mark.e2e
def test_an_environment_left_half_made_is_not_served_and_made_anew(tmp_path: Path):
    data = tmp_path / "data"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", data / "environments" / "garden"], check=True)
    assert "never finished" in command("models", "--environment", "garden", data=data).stderr
    assert "never finished" in command("environment", data=data).stdout
    package = str(wheel(tmp_path, "plant"))
    assert command("environment", "create", "garden", package, data=data, UV_OFFLINE="1").returncode == 0
    assert "plant" in command("models", "--environment", "garden", data=data).stdout


@pytest.mark.e2e
@pytest.mark.parametrize(
    "arguments", [("gar/den", "six"), (".garden", "six"), ("garden",), ("garden", "-r", "gone.txt")]
)
def test_what_cannot_be_made_is_told_before_anything_is_done(tmp_path: Path, arguments: tuple[str, ...]):
    done = command("environment", "create", *arguments, data=tmp_path / "data")
    assert done.returncode == 2
    assert not (tmp_path / "data").exists()
