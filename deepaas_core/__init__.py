"""deepaas_core turns a pip-installed Python model into a service.

A model package needs nothing of this module. What is here helps it to say more: ``ReturnedFile`` for results that are
files, ``Response`` for those with a status or headers of their own, ``InputError`` for inputs that are not usable, and
``run`` for what happens inside a training run.
"""

from deepaas_core.authoring import InputError, Response, ReturnedFile

__all__ = ["InputError", "Response", "ReturnedFile", "__version__", "run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "run":
        from importlib import import_module

        return import_module("deepaas_core.run")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
