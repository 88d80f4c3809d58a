"""A script that nobody prepared, as a service: its folder with a definition, as if somebody had written one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepaas_core.domain.service import NAME, NAME_EXPECTED
from deepaas_core.errors import SettingsError
from deepaas_core.publishing.archive import files_of
from deepaas_core.publishing.grammar import FILE
from deepaas_core.publishing.scripts import look_into

#: A folder with more than this is hardly that of one script.
MAX_FILES, MAX_BYTES = 1000, 2 * 2**30
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def stage_script(script: Path, function: str, name: str, workers: Mapping[str, Any], into: Path) -> None:
    """Put a script, what lies beside it, and a definition with one endpoint into a new folder.

    Args:
        script: The script.
        function: Its function; the endpoint is called like it.
        name: What to call the service.
        workers: Settings of the endpoint's workers.
        into: The folder to be made; its files are links to those of the script's folder.

    Raises:
        SettingsError: There is no such script, or no such function in it, or too much beside it.
    """
    if not script.is_file():
        raise SettingsError(f"There is no script {script}.")
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot be the name of a service ({NAME_EXPECTED}).")
    folder = script.absolute().parent
    found = look_into(folder, script.name)
    if found.faults or found.complaint(function):
        raise SettingsError(found.complaint(function) or "\n".join(map(str, found.faults)))
    if folder in (Path.home(), Path("/")):
        raise SettingsError(f"All of {folder} would be published; put {script.name} into a folder of its own.")
    into.mkdir()
    size = 0
    for number, (relative, path) in enumerate(files_of(folder), 1):
        size += path.stat().st_size
        if number > MAX_FILES or size > MAX_BYTES:
            raise SettingsError(
                f"More than {MAX_FILES} files, or {MAX_BYTES // 2**30} GiB, lie beside {script.name} and would be "
                "published with it; put it into a folder of its own, or name in .deepaasignore what is not needed."
            )
        if relative != FILE:
            (into / relative).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(path.absolute(), into / relative)
    (into / FILE).write_text(_definition(script.name, function, name, workers), "utf-8")


def _definition(script: str, function: str, name: str, workers: Mapping[str, Any]) -> str:
    endpoint = function if NAME.fullmatch(function) else "call"
    key = endpoint if _PLAIN_KEY.fullmatch(endpoint) else json.dumps(endpoint)
    lines = [f"name = {json.dumps(name)}", "", f"[endpoints.{key}]", 'kind = "function"']
    lines.append(f"script = {json.dumps(f'{script}:{function}')}")
    if workers:
        lines += ["", f"[endpoints.{key}.workers]", *(f"{one} = {json.dumps(value)}" for one, value in workers.items())]
    return "\n".join(lines) + "\n"
