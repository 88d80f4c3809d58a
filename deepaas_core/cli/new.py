"""``deepaas-core new service``: something to begin with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepaas_core.cli.exits import Exit
from deepaas_core.publishing.scaffold import make_service


def new_service(given: argparse.Namespace) -> int:
    """Write the folder of a service."""
    folder = Path(given.folder).expanduser()
    name = given.name or folder.resolve().name
    files = make_service(folder, name, given.server.rstrip("/"))
    if given.json:
        print(json.dumps({"service": name, "folder": str(folder), "files": [file.name for file in files]}))
    else:
        print(f"{folder} is a service with {', '.join(file.name for file in files)}.")
        print(f"Next: deepaas-core deploy {folder if folder.is_absolute() else f'./{folder}'}")
    return Exit.OK
