"""Sample code runs as it is pasted: against a real server, by the languages' own programs.

VBA is not run here, for nothing on this system runs it; what it sends is held in ``tests/property/test_samples.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from deepaas_core.web.samples import LANGUAGES, TOKEN
from tests import r
from tests.e2e.server import ROOT, Server, until
from tests.services import packed

pytestmark = pytest.mark.e2e

#: An input whose name has every quote there is, and more.
HOSTILE = "Größe 'x' \"y\" `z` $HOME %s \\n {{1}} 😀 \u202e */"
DEFINITION = f"""
name = "credit"

[endpoints.score]
kind = "prediction"
script = "score.py:predict"

[endpoints.score.inputs]
{json.dumps(HOSTILE, ensure_ascii=False)} = "text"
amount = "number"

[endpoints.score.outputs]
said = "text"

[[tests]]
endpoint = "score"
rows = [
  {{ {json.dumps(HOSTILE, ensure_ascii=False)} = "one", amount = 1.5 }},
  {{ {json.dumps(HOSTILE, ensure_ascii=False)} = "two 'x' \\"y\\" \\\\", amount = 100000 }},
]
"""
CODE = f"""
NAME = {HOSTILE!a}

def predict(row):
    return {{"said": f"{{row[NAME]}} {{row['amount']:.1f}}"}}
"""
ANSWERED = ("one 1.5", "two 'x' \"y\" \\ 100000.0")
#: How a sample in each language is run, and what must be there for it.
COMMANDS = {
    "curl": (("sh", "sample.sh"), ("sh", "-c", "command -v curl"), "curl"),
    "python": ((sys.executable, "sample.py"), (sys.executable, "-c", "import requests"), "the package requests"),
    "r": (
        ("Rscript", "sample.R"),
        ("Rscript", "-e", "library(httr); library(jsonlite)"),
        "R with httr and jsonlite: apt install r-base-core r-cran-httr r-cran-jsonlite",
    ),
    "javascript": (("node", "sample.js"), ("node", "-e", "fetch"), "Node.js 18 or newer"),
    "java": (("java", "-XX:TieredStopAtLevel=1", "Sample.java"), ("javac", "--version"), "a JDK, version 11 or newer"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """Has samples of a service that asks for tokens in its folder: with a token put in, and as they are given."""
    server = Server(tmp_path_factory.mktemp("samples"))
    try:
        server.start("--access-default", "tokens")
        publish(server)
        made = server.ask("/api/v1/tokens", {"label": "me", "rights": ["predict"]})
        assert made.status == 201, made.body
        token = made.json["token"]
        until(lambda: server.ask("/api/v1/services/credit").status == 401)
        for language in LANGUAGES.values():
            path = f"/api/v1/services/credit/samples?language={language.id}"
            text = server.ask(path, Authorization=f"Bearer {token}").body.decode()
            (server.folder / language.file).write_text(text.replace(TOKEN, token))
            (server.folder / f"given-{language.file}").write_text(text)
        (server.folder / "token").write_text(token)
        yield server
    finally:
        server.end()


def publish(server: Server) -> None:
    path = "/api/v1/services/credit"
    made = server.ask(f"{path}/generations", packed(CODE, DEFINITION), Content_Type="application/zip")
    assert made.status == 201, made.body
    rollout = server.ask(f"{path}/deployment", {"version": "v1"}, "PUT")
    assert rollout.status == 202, rollout.body
    address = rollout.json["links"]["self"]
    until(lambda: server.ask(address).json["state"] in ("live", "failed"))
    assert server.ask(address).json["state"] == "live", server.ask(address).body


def run(folder: Path, command: tuple[str, ...], **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **more}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=100, check=False
    )


def needed(language: str) -> tuple[str, ...]:
    """The command for a sample; what cannot be run here is skipped aloud."""
    command, probe, name = COMMANDS[language]
    if not works(probe):
        missing = f"no sample in {LANGUAGES[language].title} was run, which needs {name}"
        if language == "r" and os.environ.get(r.REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    return command


@cache
def works(probe: tuple[str, ...]) -> bool:
    return shutil.which(probe[0]) is not None and run(Path.cwd(), probe).returncode == 0


def test_every_language_that_can_be_run_here_is():
    assert {*COMMANDS, "vba"} == set(LANGUAGES)


def test_samples_run_as_they_are_pasted(server: Server, subtests: pytest.Subtests):
    """One test, so that however the suite is spread over processes there is one server for it."""
    for language in COMMANDS:
        with subtests.test("it prints what is answered", language=language):
            done = run(server.folder, needed(language))
            assert done.returncode == 0, done.stderr
            for answer in ANSWERED:
                spelled = {answer, json.dumps(answer)[1:-1], repr(answer)[1:-1], answer.replace("\\", "\\\\")}
                assert any(text in done.stdout for text in spelled), done.stdout
    for language in ("python", "r", "javascript"):
        with subtests.test("without a token it prints what the server says", language=language):
            command = needed(language)
            done = run(server.folder, (*command[:-1], f"given-{command[-1]}"))
            assert done.returncode != 0
            assert "/problems/unauthenticated" in done.stderr
    with subtests.test("the command prints the same"):
        command = (sys.executable, "-m", "deepaas_core", "samples", "credit", "score", "--server", server.url)
        done = run(ROOT, (*command, "-l", "vba"), DEEPAAS_CORE_TOKEN=(server.folder / "token").read_text())
        assert done.returncode == 0, done.stderr
        assert done.stdout == (server.folder / "given-Sample.bas").read_text()
