"""Which Python runs a model, and what that process inherits from the server."""

from __future__ import annotations

import os
import sys

from deepaas_core.domain.model import Environment

#: Variables that tell a Python where its libraries are; those of the server's are not another Python's.
_OF_ONE_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX")


def interpreter_of(environment: Environment | None) -> str:
    """The Python that has a model's libraries."""
    return sys.executable if environment is None else environment.interpreter


def inherited(environment: Environment | None) -> dict[str, str]:
    """The environment variables of a model's process: the server's own, without the server's settings and secrets.

    Where the model has an environment of its own, they are as if that had been activated.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DEEPAAS_CORE_")}
    variables["PYTHONUNBUFFERED"] = "1"
    if environment is None:
        return variables
    for name in _OF_ONE_PYTHON:
        variables.pop(name, None)
    variables["CONDA_PREFIX" if environment.conda else "VIRTUAL_ENV"] = environment.prefix
    programs = os.path.join(environment.prefix, "bin")
    variables["PATH"] = os.pathsep.join(filter(None, (programs, variables.get("PATH", os.defpath))))
    return variables
