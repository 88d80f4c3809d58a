"""Services that a test writes down, packed as they are published."""

from __future__ import annotations

import io
import textwrap
import zipfile

DEFINITION = """
name = "churn"
title = "Churn"

[endpoints.score]
kind = "function"
script = "score.py:predict"
"""


def packed(code: str = "def predict(x: float):\n    return x\n", definition: str = DEFINITION, **files: str) -> bytes:
    """The archive of a service with one script; other files are given by their names with ``__`` for the dot."""
    archive = io.BytesIO()
    texts = {"service.toml": definition, "score.py": code}
    texts |= {name.replace("__", ".").replace("_DASH_", "-"): text for name, text in files.items()}
    with zipfile.ZipFile(archive, "w") as made:
        for name, text in texts.items():
            made.writestr(name, textwrap.dedent(text))
    return archive.getvalue()


def answering(value: object) -> bytes:
    """The archive of a service that always answers the same."""
    return packed(f"def predict():\n    return {value!r}\n")


def checked(expected: object, answer: object) -> bytes:
    """The archive of a service that answers one thing, and whose test query expects another."""
    test = f"""
[[tests]]
endpoint = "score"
expected = {expected!r}
"""
    return packed(f"def predict():\n    return {answer!r}\n", DEFINITION + test)
