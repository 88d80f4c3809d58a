"""R for the tests that need it."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRED = "TESTS_REQUIRE_R"


@pytest.fixture(scope="session")
def r() -> str:
    """The program ``Rscript``; without it, tests are skipped aloud, or fail if they must not be."""
    program = shutil.which("Rscript")
    if program is None:
        missing = "R is not installed: apt install r-base-core r-cran-jsonlite"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    return program
