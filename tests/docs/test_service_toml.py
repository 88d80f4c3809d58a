"""The reference of ``service.toml`` says what the reader knows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepaas_core.domain.service import FeatureType, Service
from deepaas_core.publishing import grammar
from deepaas_core.publishing.definition import read

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "service-toml.md").read_text()


def members(schema: dict[str, Any]) -> Iterator[str]:
    yield from schema.get("properties", {})
    for name, definition in schema.get("$defs", {}).items():
        if name not in ("workers", "endpoint"):
            yield from definition["properties"]


@pytest.mark.parametrize("member", sorted(set(members(grammar.SCHEMA))))
def test_every_member_is_in_the_reference(member: str):
    assert re.search(rf"^\| [^|]*`{member}`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("kind", list(FeatureType))
def test_every_type_is_in_the_reference(kind: FeatureType):
    assert f"| `{kind}` |" in PAGE


def test_the_schema_is_the_one_that_the_reader_uses():
    said = (REFERENCE / "service.schema.json").read_text()

    assert said == grammar.published(), "python -m deepaas_core.publishing.grammar"


def test_the_example_of_the_reference_is_a_service(tmp_path: Path):
    [example] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(example)
    (tmp_path / "service.toml").write_text(example)
    (tmp_path / "score.py").write_text("def logistic(): ...\ndef forest(): ...\ndef explain(): ...\n")

    service = read(tmp_path)

    assert isinstance(service, Service)
    assert list(service.endpoints) == ["risk", "explain"]
