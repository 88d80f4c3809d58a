"""The chores, each one command. They run in the environment that nox itself is in: ``make lint`` prepares it."""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "layers", "tests"]


def python(session: nox.Session, module: str, *arguments: str) -> None:
    """Run a module with the interpreter that runs nox."""
    session.run(sys.executable, "-m", module, *arguments, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    python(session, "ruff", "check", *session.posargs, ".")
    python(session, "ruff", "format", "--check", *session.posargs, ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package, strictly."""
    python(session, "mypy", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Which part may import which (contracts in pyproject.toml)."""
    session.run(str(Path(sys.executable).with_name("lint-imports")), "--no-logo", *session.posargs, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, in parallel."""
    python(session, "pytest", "--numprocesses", "auto", "--dist", "worksteal", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The promises of the documentation: its examples run, nothing public is missing from it."""
    python(session, "pytest", "tests/docs", *session.posargs)
