"""Finds the models that installed packages declare, from their metadata alone: nothing of a model is imported here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import importlib_metadata

from deepaas_core.domain.model import Problem, Source
from deepaas_core.errors import PluginError

#: Entry-point groups, the one that wins for a name declared in both first.
GROUPS = ("deepaas.model", "deepaas.v2.model")
URL_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")
_TARGET = re.compile(r"\s*[^\W\d]\w*(\.[^\W\d]\w*)*\s*(:\s*[^\W\d]\w*(\.[^\W\d]\w*)*\s*)?(\[.*\])?\s*")


@dataclass(frozen=True)
class Discovery:
    """What the installed packages declare."""

    sources: tuple[Source, ...]
    problems: tuple[Problem, ...] = ()


def discover(only: Collection[str] = (), path: Sequence[str] | None = None) -> Discovery:
    """Read the entry points of every installed distribution.

    Args:
        only: Names of the models wanted; empty means all.
        path: Folders to look in; None means ``sys.path``.

    Raises:
        PluginError: A model that is wanted by name is not declared by any package.
    """
    sources: list[Source] = []
    problems: list[Problem] = []
    for name, declared in sorted(_declared(path).items()):
        if only and name not in only:
            continue
        problem = _problem(name, declared)
        if problem is None:
            sources.append(declared[0])
        else:
            problems.append(problem)
    known = {source.name for source in sources} | {problem.name for problem in problems}
    missing = [name for name in only if name not in known]
    if missing:
        raise PluginError(_not_installed(missing[0], _declared(path)))
    return Discovery(tuple(sources), tuple(problems))


def _declared(path: Sequence[str] | None) -> dict[str, list[Source]]:
    """Every declaration by name; what one package says twice counts once."""
    found: dict[str, list[Source]] = defaultdict(list)
    seen: set[str] = set()
    for distribution in importlib_metadata.distributions(**({"path": list(path)} if path else {})):
        name = distribution.metadata["Name"] if distribution.metadata else None
        if not name or _normalized(name) in seen:
            continue  # the first on the path is the one that would be imported
        seen.add(_normalized(name))
        for source in _sources(cast(importlib_metadata.Distribution, distribution), name):
            found[source.name].append(source)
    return found


def _sources(distribution: importlib_metadata.Distribution, name: str) -> Iterable[Source]:
    by_name: dict[str, Source] = {}
    metadata = distribution.metadata
    for group in GROUPS:
        for entry in distribution.entry_points:
            if entry.group == group and entry.name not in by_name:
                by_name[entry.name] = Source(
                    name=entry.name,
                    group=group,
                    target=re.sub(r"\[.*\]|\s", "", entry.value),
                    distribution=name,
                    version=distribution.version or "0",
                    summary=metadata.get("Summary") or "",
                    author=metadata.get("Author") or metadata.get("Author-email") or "",
                    license=metadata.get("License-Expression") or metadata.get("License") or "",
                    homepage=_homepage(metadata),
                )
    return by_name.values()


def _homepage(metadata: importlib_metadata.PackageMetadata) -> str:
    if metadata.get("Home-page"):
        return str(metadata["Home-page"])
    for entry in metadata.get_all("Project-URL") or ():
        label, _, url = str(entry).partition(",")
        if label.strip().lower() in ("homepage", "home", "repository", "source"):
            return url.strip()
    return ""


def _problem(name: str, declared: Sequence[Source]) -> Problem | None:
    packages = " and ".join(sorted(source.distribution for source in declared))
    if len(declared) > 1:
        return Problem(name, packages, f"The packages {packages} both call a model {name!r}; uninstall one of them.")
    if not URL_SAFE.fullmatch(name):
        expected = "letters, digits and . _ ~ - only, a letter or digit first, at most 100"
        return Problem(name, packages, f"The name {name!r} cannot stand in a URL ({expected}).")
    if not _TARGET.fullmatch(declared[0].target):
        expected = "module or module:object"
        return Problem(name, packages, f"The entry point {declared[0].target!r} is not of the form {expected}.")
    return None


def _not_installed(name: str, declared: Iterable[str]) -> str:
    names = ", ".join(sorted(declared))
    return f"No installed package declares a model {name!r}; there is {names or 'none at all'}."


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
