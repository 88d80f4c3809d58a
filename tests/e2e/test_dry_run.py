"""``deploy --dry-run``: what it takes, before anything is published."""

import json

import pytest

from tests.commands import typed
from tests.r import r

__all__ = ["r"]
pytestmark = pytest.mark.e2e

SCRIPTS = {
    "score.py": "import time\ntime.sleep(0.2)\ndef predict(x: float):\n    return 1 / x\n",
    "score.R": "Sys.sleep(0.2)\nkept <- numeric(4e6)\npredict <- function(x) { if (x == 0) stop('not zero'); 1 / x }\n",
}


def dry_run(folder, file, argument):
    (folder / file).write_text(SCRIPTS[file])
    done = typed("deploy", f"{folder}/{file}:predict", "--dry-run", "--json", "--arg", argument)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("file", SCRIPTS)
@pytest.mark.usefixtures("r")
def test_it_tells_how_long_start_and_one_call_take_and_the_memory(tmp_path, file):
    code, told, errors = dry_run(tmp_path, file, "x=4")
    assert code == 0, errors
    assert told["start_s"] > 0.2
    assert told["memory_bytes"] > (40 if file.endswith(".R") else 5) * 2**20
    [outcome] = told["outcomes"]
    assert (outcome["passed"], outcome["answer"]) == (True, 0.25)
    assert outcome["duration_s"] > 0


def test_a_call_that_fails_is_a_failure(tmp_path):
    code, told, _ = dry_run(tmp_path, "score.py", "x=0")
    assert code == 1
    assert not told["outcomes"][0]["passed"]
