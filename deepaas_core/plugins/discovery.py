"""Finds the models that installed packages declare, from their metadata alone: nothing of a model is imported here.

What is installed is not ours to trust: a package whose metadata are broken is a problem of its own models, and of
nobody else's.
"""

from __future__ import annotations

import importlib
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import importlib_metadata

from deepaas_core.domain.model import Environment, Problem, Source
from deepaas_core.errors import PluginError
from deepaas_core.plugins.environments import complaint, library_folders

#: Entry-point groups, the one that wins for a name declared in both first.
GROUPS = ("deepaas.model", "deepaas.v2.model")
URL_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")
_ENTRY_POINTS = "entry_points.txt"
#: What importlib_metadata raises for files that are missing or not as they should be.
_BROKEN = (KeyError, OSError, TypeError, ValueError)
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_TARGET = re.compile(rf"(?P<module>{_DOTTED})\s*(?::\s*(?P<object>{_DOTTED})\s*)?(?:\[.*\])?")


@dataclass(frozen=True)
class Discovery:
    """What the installed packages declare."""

    sources: tuple[Source, ...]
    problems: tuple[Problem, ...] = ()

    def of(self, names: Collection[str]) -> Discovery:
        """What is declared under these names; under any, if there are none."""
        if not names:
            return self
        return Discovery(
            tuple(source for source in self.sources if source.name in names),
            tuple(problem for problem in self.problems if problem.name in names),
        )


def discover(
    only: Collection[str] = (), path: Sequence[str] | None = None, environments: Sequence[Environment] = ()
) -> Discovery:
    """Read the entry points of every installed distribution.

    Args:
        only: Names of the models wanted; empty means all.
        path: Folders to look in; None means ``sys.path``.
        environments: Others than the server's own to look in as well.

    Raises:
        PluginError: A model that is wanted by name is not declared by any package.
    """
    importlib.invalidate_caches()  # what was installed since we looked last is found, too
    declared, problems = _declared(path, environments)
    sources: list[Source] = []
    for name, claims in sorted(declared.items()):
        problem = _problem(name, claims)
        if problem is None:
            sources.append(claims[0])
        else:
            problems.append(problem)
    found = Discovery(tuple(sources), tuple(problems)).of(only)
    missing = set(only) - {source.name for source in found.sources} - {problem.name for problem in found.problems}
    if missing:
        raise PluginError(_not_installed(missing, declared))
    return found


def _declared(
    path: Sequence[str] | None, environments: Sequence[Environment]
) -> tuple[dict[str, list[Source]], list[Problem]]:
    """Every declaration by name, what one package says twice counted once; and the packages that cannot be read."""
    declared: dict[str, list[Source]] = defaultdict(list)
    problems: list[Problem] = []
    places: set[str] = set()
    for environment in (None, *environments):
        seen: set[str] = set()
        for distribution in _distributions_with_models(library_folders(environment) if environment else path):
            try:
                name = distribution.name
                if _normalized(name) in seen:
                    continue  # the first on the path is the one that would be imported
                seen.add(_normalized(name))
                place = f"{_normalized(name)} {os.path.realpath(str(distribution.locate_file('')))}"
                if place in places:
                    continue  # the very same files, seen from an environment that looks into another
                places.add(place)
                for source in _sources(distribution, name, environment):
                    declared[source.name].append(source)
            except _BROKEN:
                problems.extend(_unreadable(distribution))
    return declared, problems


def _distributions_with_models(path: Sequence[str] | None) -> Iterator[importlib_metadata.Distribution]:
    """The few that matter, by one small file each: reading all metadata would cost 1 ms a package."""
    for found in importlib_metadata.distributions(**({} if path is None else {"path": list(path)})):
        distribution = cast(importlib_metadata.Distribution, found)
        try:
            text = distribution.read_text(_ENTRY_POINTS) or ""
        except UnicodeDecodeError as error:
            text = error.object.decode("latin-1")
        if any(f"[{group}]" in text for group in GROUPS):
            yield distribution


def _unreadable(distribution: importlib_metadata.Distribution) -> list[Problem]:
    """One problem for each model where at least they can be named, else one for the package."""
    with suppress(*_BROKEN):
        name = distribution.name
        return [Problem(name, name, f"The metadata of the package {name} cannot be read; install it again.")]
    with suppress(*_BROKEN):
        return [
            Problem(entry.name, "?", f"The package of {entry.value!r} has no readable metadata; install it again.")
            for entry in distribution.entry_points
            if entry.group in GROUPS
        ]
    return [Problem("?", "?", "A package declares models, but has no readable metadata.")]


def _sources(
    distribution: importlib_metadata.Distribution, name: str, environment: Environment | None
) -> Iterable[Source]:
    by_name: dict[str, Source] = {}
    metadata = distribution.metadata
    for group in GROUPS:
        for entry in distribution.entry_points:
            if entry.group == group and entry.name not in by_name:
                by_name[entry.name] = Source(
                    name=entry.name,
                    group=group,
                    target=_target(entry.value),
                    distribution=name,
                    version=distribution.version or "0",
                    summary=metadata.get("Summary") or "",
                    author=metadata.get("Author") or metadata.get("Author-email") or "",
                    license=metadata.get("License-Expression") or metadata.get("License") or "",
                    homepage=_homepage(metadata),
                    environment=environment,
                )
    return by_name.values()


def _target(value: str) -> str:
    """``module`` or ``module:object``, tidied; what is neither stays as it is, to be complained of."""
    parts = _TARGET.fullmatch(value.strip())
    if parts is None:
        return value
    return f"{parts['module']}:{parts['object']}" if parts["object"] else parts["module"]


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
    if len({source.environment for source in declared}) > 1:
        return Problem(name, packages, _claimed_in_several(name, declared))
    if len(declared) > 1:
        return Problem(name, packages, f"The packages {packages} both call a model {name!r}; uninstall one of them.")
    if not URL_SAFE.fullmatch(name):
        expected = "letters, digits and . _ ~ - only, a letter or digit first, at most 100"
        return Problem(name, packages, f"The name {name!r} cannot stand in a URL ({expected}).")
    if not _TARGET.fullmatch(declared[0].target):
        expected = "module or module:object"
        return Problem(name, packages, f"The entry point {declared[0].target!r} is not of the form {expected}.")
    environment = declared[0].environment
    reason = complaint(environment) if environment else ""
    return Problem(name, packages, reason) if reason else None


def _claimed_in_several(name: str, declared: Sequence[Source]) -> str:
    where = {source: source.environment.name if source.environment else "the server's own" for source in declared}
    claims = " and ".join(f"{source.distribution} (in {where[source]})" for source in declared)
    return f"Packages of several environments call a model {name!r}: {claims}; uninstall all but one."


def _not_installed(missing: Iterable[str], declared: Iterable[str]) -> str:
    wanted = " or ".join(repr(name) for name in sorted(missing))
    return f"No installed package declares a model {wanted}; there is {', '.join(sorted(declared)) or 'none at all'}."


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
