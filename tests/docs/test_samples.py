"""The how-to on other languages shows the very programs that the server writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepaas_core.domain.example import MAX_ROWS
from deepaas_core.publishing.definition import read
from deepaas_core.web.samples import LANGUAGES, Asked, write

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "call-a-service-from-other-languages.md"
URL = "http://127.0.0.1:5000/api/v1/services/credit/endpoints/score/predict"


@pytest.fixture(scope="module")
def asked() -> Asked:
    """What the page says is asked: the credit service's test query for its forest."""
    queries = read(ROOT / "examples" / "credit_service").queries
    query = next(query for query in queries if query.arguments.get("model") == "forest" and query.rows)
    body = {"rows": [dict(row) for row in query.rows[:MAX_ROWS]], **query.arguments}
    return Asked(URL, body, answer="rows", value="creditability")


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=lambda language: language.id)
def test_the_page_shows_the_sample(asked: Asked, language):
    section = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    [section] = [text for text in section if text.startswith(f"{language.title}\n")]
    assert re.search(r"```\w+\n(.*?)```", section, re.DOTALL)[1] == write(language.id, asked)
