"""The tutorial and the README are followed word for word, in an empty folder, against a real server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.walkthrough import Reader

ROOT = Path(__file__).parents[2]
SAMPLES = Path("examples", "demo_model", "samples")
SERVE_DIGITS = """
```console title="server"
$ deepaas-core serve --model digits
...Ctrl-C...
```
"""


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_tutorial_does_what_it_says(reader: Reader):
    reader.follow((ROOT / "docs" / "tutorial" / "serve-your-first-model.md").read_text())


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_tour_in_the_readme_does_what_it_says(reader: Reader, tmp_path: Path):
    for shown in (SAMPLES, Path("examples", "linear_function")):
        shutil.copytree(ROOT / shown, tmp_path / "empty" / shown)
    reader.follow(SERVE_DIGITS)
    reader.follow((ROOT / "README.md").read_text())
