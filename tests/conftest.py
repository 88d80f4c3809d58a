"""What every test may rely on: nothing of the surrounding environment changes what the server does."""

from __future__ import annotations

import os

import hypothesis
import pytest

from tests.postgres import postgres

__all__ = ["postgres"]

# Other work on the machine is no failure: nothing here may depend on how long an example takes to make or to run.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_xdist_auto_num_workers() -> int:
    """How many processes run tests: one more than there are cores, for many tests wait for other processes."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the developer's own settings and proxies outside."""
    for name in list(os.environ):
        if name.startswith("DEEPAAS_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)
