"""The READMEs of the examples are followed word for word, in a copy of their folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.walkthrough import Reader

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(280)]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed is compiled once, as in anybody's terminal, and not by each worker anew."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


def follow(reader: Reader, example: str, folder: Path) -> None:
    shutil.copytree(EXAMPLES / example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    reader.follow((EXAMPLES / example / "README.md").read_text())


def test_a_function_becomes_an_api_in_python_and_in_r(r: str, reader: Reader, tmp_path: Path):
    follow(reader, "linear_function", tmp_path / "empty")


def test_a_service_scores_credits(compiled: None, reader: Reader, tmp_path: Path):
    follow(reader, "credit_service", tmp_path / "empty")


def test_a_service_looks_up_what_it_needs_and_renews_itself(reader: Reader, tmp_path: Path):
    follow(reader, "fraud_service", tmp_path / "empty")
