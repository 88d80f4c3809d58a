"""Where a model's source lies, and when it is edited; for development only.

The package that the entry point names is looked for by the interpreter that loads the model, without importing it, so
that one that cannot be imported right now is found as well.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deepaas_core.domain.model import Source

#: Prints a module's file and, if it is a package, its folder; a namespace package is not one, but what is in it may be.
_LOCATE = """
import importlib.machinery, importlib.util, json, sys
sys.path[:] = filter(None, sys.path)
name, found = "", None
for part in sys.argv[1].split("."):
    if found is None:
        name, found = part, importlib.util.find_spec(part)
    else:
        name = f"{name}.{part}"
        found = importlib.machinery.PathFinder.find_spec(name, found.submodule_search_locations)
    if found is None or found.origin is not None:
        break
folders = list(found.submodule_search_locations or ()) if found else []
print(json.dumps([found and found.origin, folders]))
"""
#: What comes with the server is not edited.
_OURS = Path(__file__).parents[1]
#: Edits that follow one another this closely are one edit.
QUIET_MS = 100


@dataclass(frozen=True)
class SourceCode:
    """Where a source lies.

    Attributes:
        folder: The folder of its package, or the one in which its only file lies.
        file: The name of that file; None for a package, all of whose modules belong to it.
    """

    folder: Path
    file: str | None = None


async def locate(source: Source, variables: Mapping[str, str]) -> SourceCode | None:
    """Where a model's source lies; None if its package cannot be found, or has no source that could be edited.

    Args:
        source: The model.
        variables: The environment variables that its workers get.
    """
    interpreter = source.environment.interpreter if source.environment else sys.executable
    module = source.target.partition(":")[0]
    process = await asyncio.create_subprocess_exec(
        *(interpreter, "-c", _LOCATE, module),
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        return None
    origin, folders = json.loads(said)
    if folders:
        code = SourceCode(Path(folders[0]))
    elif origin and origin.endswith(".py"):
        code = SourceCode(Path(origin).parent, Path(origin).name)
    else:
        return None
    return None if code.folder.is_relative_to(_OURS) else code


async def edits(code: SourceCode) -> AsyncIterator[Path | None]:
    """None once no edit is missed any more; then a file of the source after each edit, when it is quiet again."""
    from watchfiles import Change, awatch

    def belongs(_: Change, path: str) -> bool:
        return Path(path).name == code.file if code.file else path.endswith(".py")

    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    changes = awatch(code.folder, watch_filter=belongs, step=QUIET_MS, recursive=code.file is None)
    edited = asyncio.ensure_future(anext(changes))  # its first step, up to where it waits, begins to watch
    try:
        await asyncio.sleep(0)
        yield None
        while True:
            yield min(Path(path) for _, path in await edited)
            edited = asyncio.ensure_future(anext(changes))
    finally:
        edited.cancel()
