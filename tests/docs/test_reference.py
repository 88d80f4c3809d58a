"""Nothing public is missing from the reference, and no link in the documentation leads nowhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepaas_core import errors, run, settings
from deepaas_core.domain.model import Capability
from deepaas_core.domain.training import RunState
from deepaas_core.telemetry.metrics import Counts, Gauges, ModelGauges
from deepaas_core.telemetry.prometheus import render
from deepaas_core.web import health, metrics, problems
from deepaas_core.web.problems import slug
from deepaas_core.web.rest import documents, models, predictions, runs, samples, services, statistics, tokens, watching
from deepaas_core.web.routes import Route

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changes/*.md")])
_LINK = re.compile(r"\]\((?!https?:|mailto:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def kinds(kind: type[errors.DeepaasError]) -> Iterator[type[errors.DeepaasError]]:
    """An error class and all below it that we define."""
    if kind.__module__ == errors.__name__:
        yield kind
        for child in kind.__subclasses__():
            yield from kinds(child)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("kind", list(kinds(errors.DeepaasError)), ids=slug)
def test_every_kind_of_error_has_a_section_that_says_its_title(kind: type[errors.DeepaasError]):
    sections = re.split(r"^## ", (REFERENCE / "problems.md").read_text(), flags=re.MULTILINE)
    [section] = [section for section in sections if section.startswith(f"{slug(kind)}\n")]
    assert kind.title() in section


@pytest.mark.parametrize("capability", list(Capability))
def test_every_hook_is_in_the_reference(capability: Capability):
    assert f"`{capability.function}`" in (REFERENCE / "hooks.md").read_text()


@pytest.mark.parametrize("name", [name for name, _ in inspect.getmembers(run, inspect.isfunction) if name[0] != "_"])
def test_all_that_can_be_said_inside_a_run_is_in_the_reference(name: str):
    assert f"`run.{name}(" in (REFERENCE / "run.md").read_text()


@pytest.mark.parametrize(
    "route",
    [
        *documents.ROUTES,
        *models.ROUTES,
        *predictions.ROUTES,
        *runs.ROUTES,
        *samples.ROUTES,
        *services.ROUTES,
        *statistics.ROUTES,
        *tokens.ROUTES,
        *watching.ROUTES,
        *health.ROUTES,
        *metrics.ROUTES,
        *problems.ROUTES,
    ],
    ids=lambda route: route.path,
)
def test_every_route_is_in_the_reference(route: Route):
    plain = re.sub(r"{(\w+):[^}]+}", r"{\1}", route.path)
    assert f"`{route.method} {plain}`" in (REFERENCE / "rest.md").read_text()


def test_every_metric_is_in_the_reference():
    models = (ModelGauges("m", "ready", 0, 0, 0),)
    page, _ = render(Counts(), Gauges("1.0", ("ready",), models, {"queued": 1}, {("server", ""): 1}))
    names = re.findall(r"^# TYPE (\w+)", page.decode(), re.MULTILINE)
    assert len(names) > 8
    for name in names:
        assert f"| `{name}` |" in (REFERENCE / "metrics.md").read_text()


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_of_a_run_is_in_the_reference(state: RunState):
    assert f"| `{state}` |" in (REFERENCE / "run-states.md").read_text()


def test_the_page_of_settings_is_the_one_that_the_settings_make():
    assert (REFERENCE / "settings.md").read_text() == settings.reference(), "python -m deepaas_core.settings"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for link in _LINK.finditer(_CODE.sub("", page.read_text())):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        assert target.exists(), f"{page.name}: there is no {link['path']}"
        if link["anchor"]:
            assert link["anchor"] in anchors(target), f"{page.name}: {link['path']} has no #{link['anchor']}"


def test_every_page_can_be_reached_from_the_index():
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        links = (
            page.parent / link["path"] for link in _LINK.finditer(page.read_text()) if link["path"].endswith(".md")
        )
        waiting += [link.resolve() for link in links if link.exists()]
    assert set(ROOT.glob("docs/**/*.md")) <= seen
