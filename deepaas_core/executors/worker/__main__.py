"""Bootstrap: ``python …/worker serve FD`` and ``python …/worker train JOB``.

Started by path, Python puts this folder first on ``sys.path``; it is taken off again so that a model's own ``frames``
or ``calling`` module is not shadowed by ours, and the folder is bound as the package ``deepaas_core_worker`` instead.
"""

import importlib.util
import os
import sys


def _bind_package(name: str) -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.getcwd()) != here]
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


def main() -> None:
    _bind_package("deepaas_core_worker")
    command, argument = sys.argv[1], sys.argv[2]
    sys.argv[1:] = []  # a model that parses the command line at import sees none of ours
    if command == "serve":
        serve = importlib.import_module("deepaas_core_worker.serve")
        serve.main(int(argument))
    else:
        training = importlib.import_module("deepaas_core_worker.training")
        sys.exit(training.main(argument))


if __name__ == "__main__":
    main()
