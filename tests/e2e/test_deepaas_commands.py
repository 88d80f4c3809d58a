"""The commands of DEEPaaS, as its users know them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepaas_core.cli.deepaas import methods, predict, run
from tests.commands import Done, Main, run_here
from tests.e2e.server import until

ROOT = Path(__file__).parents[2]
MODEL = """
    import io, os
    from webargs import fields, validate
    from deepaas.model.v2.wrapper import UploadedFile

    def get_metadata():
        return {"author": "A. N. Author"}

    def get_predict_args():
        return {
            "n": fields.Int(missing=3, description="how many, in %"),
            "b": fields.Bool(missing=False),
            "l": fields.List(fields.Int(), missing=[1]),
            "d": fields.Dict(missing={}),
            "choice": fields.Str(missing="a", validate=validate.OneOf(["a", "b"])),
            "left_out": fields.Str(),
            "file": fields.Field(missing=None, type="file", location="form"),
            "accept": fields.Str(
                missing="application/json", validate=validate.OneOf(["application/json", "text/plain"])
            ),
        }

    def warm():
        os.environ["WARM"] = "yes"

    def predict(file=None, **given):
        if given["accept"] == "text/plain":
            return io.BytesIO(b"plain")
        if file is not None:
            assert isinstance(file, UploadedFile)
            given["file"] = [file.original_filename, open(file.filename).read()]
            os.remove(file.filename)
        return {**given, "warm": os.environ.get("WARM")}

    def get_train_args():
        return {"epochs": fields.Int(required=True)}

    def train(epochs):
        if epochs > 9:
            raise RuntimeError("diverged")
        return {"epochs": epochs}
    """
ONLY_PREDICT = "def predict(**given):\n        return {'given': given}"

COMMANDS: dict[str, Main] = {"deepaas-run": run.main, "deepaas-cli": methods.main, "deepaas-predict": predict.main}

pytestmark = pytest.mark.e2e


class Box:
    """A folder with installed models, where the commands are run."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "site").mkdir()

    def install(self, name: str, code: str) -> None:
        info = self.folder / "site" / f"model_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: model-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[deepaas.v2.model]\n{name} = model_{name}\n")
        (self.folder / "site" / f"model_{name}.py").write_text(textwrap.dedent(code))

    def __call__(self, command: str, *argv: str, **environ: str) -> Done:
        """Run a command until it ends."""
        return run_here(COMMANDS[command], argv, self._environ(environ), self.folder, self.folder / "site")

    def start(self, command: str, *argv: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        code = f"import sys; from {COMMANDS[command].__module__} import main; sys.exit(main())"
        return subprocess.Popen(
            [sys.executable, "-c", code, *argv],
            env=self._environ(environ),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of a command; the models of the developer's own environment are not meant."""
        known = {name: text for name, text in os.environ.items() if not name.startswith(("DEEPAAS_", "OS_DEFAULT__"))}
        path = os.pathsep.join((str(self.folder / "site"), str(ROOT)))
        return {**known, "PYTHONPATH": path, "HOME": str(self.folder), "DEEPAAS_V2_MODEL": "m", **given}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path)
    made.install("m", MODEL)
    return made


def test_deepaas_cli_predicts_with_a_warm_model_and_leaves_out_what_was_not_given(box: Box) -> None:
    (box.folder / "photo.txt").write_text("pixels")
    argv = ("predict", "--n", "5", "--b", "yes", "--l", "[1, 2]", "--d", "{'a': 1}", "--file", "photo.txt")
    done = box("deepaas-cli", "--deepaas_method_output=out/answer", *argv)
    assert done.returncode == 0, done.stderr
    assert json.loads((box.folder / "out" / "answer.json").read_text()) == {
        "n": 5,
        "b": True,
        "l": [1, 2],
        "d": {"a": 1},
        "choice": "a",
        "accept": "application/json",
        "file": ["photo.txt", "pixels"],
        "warm": "yes",
    }
    assert (box.folder / "photo.txt").exists()


def test_deepaas_cli_writes_what_the_model_was_asked_for(box: Box) -> None:
    done = box("deepaas-cli", "--nowarm", "--deepaas_method_output", "answer.txt", "predict", "--accept", "text/plain")
    assert done.returncode == 0, done.stderr
    assert (box.folder / "answer.txt").read_bytes() == b"plain"


def test_deepaas_cli_trains_and_tells_as_the_api_does(box: Box) -> None:
    done = box("deepaas-cli", "--deepaas_method_output=t.json", "train", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    told = json.loads((box.folder / "t.json").read_text())
    assert (told["args"], told["status"], told["result"]["output"]) == ({"epochs": 2}, "done", {"epochs": 2})
    assert re.fullmatch("[0-9a-f]{32}", told["uuid"])


def test_deepaas_cli_without_a_method_gives_the_metadata(box: Box) -> None:
    process = box.start("deepaas-cli")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["author"]) == (0, "A. N. Author")
    assert "return: {" in err


def test_deepaas_cli_needs_neither_function_for_arguments(box: Box) -> None:
    box.install("bare", ONLY_PREDICT)
    done = box("deepaas-cli", "--model-name", "bare", "predict")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"given": {}})


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("predict", "--choice", "c"), 2, "--choice: Must be one of: a, b."),
        (("train",), 2, "--epochs: Missing data for required field."),
        (("train", "--epochs", "10"), 1, "RuntimeError: diverged"),
        (("nothing",), 2, "'nothing' is none of its methods"),
        (("--model-name", "nope", "warm"), 1, "declares a model 'nope'"),
        (("predict", "--file", "nope.txt"), 1, "nope.txt"),
    ],
)
def test_deepaas_cli_says_what_is_wrong(box: Box, argv: tuple[str, ...], code: int, said: str) -> None:
    done = box("deepaas-cli", *argv)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_deepaas_cli_will_not_guess_which_model_is_meant(box: Box) -> None:
    box.install("bare", ONLY_PREDICT)
    done = box("deepaas-cli", "warm", DEEPAAS_V2_MODEL="")
    assert done.returncode == 1
    assert "several models (bare, " in done.stderr


def test_deepaas_predict_gives_its_file_to_either_kind_of_model(box: Box) -> None:
    box.install("old", "def predict_data(args):\n        return {'text': args['files'][0].read().decode()}")
    (box.folder / "photo.png").write_text("pixels")
    for model, told in (("old", {"text": "pixels"}), ("m", {"file": ["photo.png", "pixels"]})):
        done = box("deepaas-predict", "-i", "photo.png", "-o", f"of_{model}", "--model-name", model)
        assert (done.returncode, done.stdout) == (0, f"Output saved at of_{model}/out_photo.json\n"), done.stderr
        assert json.loads((box.folder / f"of_{model}" / "out_photo.json").read_text()).items() >= told.items()


def test_deepaas_predict_needs_both_its_options(box: Box) -> None:
    done = box("deepaas-predict", "-i", "photo.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--output is required" in done.stderr


@contextmanager
def running(box: Box, *argv: str, **environ: str) -> Iterator[str]:
    process = box.start("deepaas-run", *argv, **environ)
    try:
        assert process.stdout is not None
        said = until(lambda: re.search(r"Running on (\S+) ", process.stdout.readline() or "Running on nothing "))
        assert said[1] != "nothing", process.communicate()
        yield said[1]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_deepaas_run_serves_as_its_options_say_until_it_is_told_to_stop(box: Box) -> None:
    (box.folder / "deepaas.conf").write_text("[DEFAULT]\nbase_path = /x\nlisten_port = 1\n")
    with running(box, "--nowarm", "--log-file", "run.log", OS_DEFAULT__LISTEN_PORT="0") as url:
        assert url.endswith("/x")
        with urllib.request.urlopen(f"{url}/v2/models/m/predict/", b"") as response:
            assert json.load(response)["predictions"]["warm"] is None
    assert "/x/v2/models/m/predict/ 200" in (box.folder / "run.log").read_text()


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("--model-name", "nope"), 1, "declares a model 'nope'"),
        (("--model-name", "broken"), 1, "No module named 'nobody_has_this'"),
        (("--base-path", "x"), 1, "Base path should start with a '/'."),
        (("--listen-port", "65536"), 2, "--listen-port must be a whole number from 0 to 65535"),
        (("--config-file", "none.conf"), 1, "none.conf"),
        (("--log-file", "no/folder/file"), 1, "no/folder/file"),
    ],
)
def test_deepaas_run_says_why_it_does_not_start(box: Box, argv: tuple[str, ...], code: int, said: str) -> None:
    box.install("broken", "import nobody_has_this")
    done = box("deepaas-run", *argv, **({} if code == 2 else {"OS_DEFAULT__LISTEN_PORT": "0"}))
    assert done.returncode == code
    assert said in done.stderr
