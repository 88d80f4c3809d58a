"""``deepaas-core environment``: make, list and remove environments for models that need libraries of their own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from deepaas_core import app
from deepaas_core.cli.exits import Exit
from deepaas_core.cli.terminal import Terminal
from deepaas_core.plugins.discovery import discover
from deepaas_core.plugins.making import Made, Wish, Workshop
from deepaas_core.settings import Settings


def create(given: argparse.Namespace) -> int:
    """Make an environment; the last line says how to serve what is in it."""
    wish = Wish(given.python or sys.executable, [Path(file) for file in given.requirements], given.packages)
    made = _workshop(given).create(given.name, wish)
    document = _document(made)
    if given.json:
        print(json.dumps(document))
        return Exit.OK
    console = Terminal(highlight=False, soft_wrap=True)
    console.print(f"Made {made.name}: Python {document['python']}, {made.folder}", markup=False)
    if document["models"]:
        console.print(f"Models: {', '.join(document['models'])}", markup=False)
    else:
        console.print("None of its packages declares a model yet.")
    console.print(f"Serve:  deepaas-core serve --environment {made.name}", markup=False)
    return Exit.OK


def show(given: argparse.Namespace) -> int:
    """List the environments that were made here."""
    documents = [_document(made) for made in _workshop(given).list()]
    if given.json:
        print(json.dumps(documents))
        return Exit.OK
    if not documents:
        Terminal().print("None has been made yet: deepaas-core environment create NAME PACKAGE …", markup=False)
        return Exit.OK
    table = Table("environment", "Python", "made of", "models")
    for document in documents:
        python = document["python"] or "never finished"
        cells = (document["name"], python, " ".join(document["asked"]), ", ".join(document["models"]))
        table.add_row(*map(escape, cells))
    Terminal().print(table)
    return Exit.OK


def remove(given: argparse.Namespace) -> int:
    """Remove environments."""
    workshop = _workshop(given)
    for name in given.names:
        workshop.remove(name)
    return Exit.OK


def _workshop(given: argparse.Namespace) -> Workshop:
    return Workshop(app.environments_of(Settings.from_arguments(given, os.environ).store))


def _document(made: Made) -> dict[str, Any]:
    environment = made.environment
    found = discover(path=[], environments=[environment]) if environment else None
    return {
        "name": made.name,
        "folder": str(made.folder),
        "python": environment.python if environment else None,
        "asked": list(made.asked),
        "models": [source.name for source in found.sources] if found else [],
        "problems": [problem.reason for problem in found.problems] if found else [],
    }
