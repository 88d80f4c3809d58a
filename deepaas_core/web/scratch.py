"""Folders of requests: what a client uploads lives here under names of our own, and is gone when the request ends."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

_SUFFIX = re.compile(r"(\.(?:tar|nii))?\.[A-Za-z0-9]{1,12}$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Folder:
    """One request's folder: made when the first file is put into it, removed however the request ends.

    Attributes:
        leaving: What else is to be done then.
    """

    def __init__(self, root: Path):
        self.leaving: list[Callable[[], None]] = []
        self._root = root
        self._made: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for step in self.leaving:
            step()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    @property
    def path(self) -> Path:
        if self._made is None:
            self._made = Path(tempfile.mkdtemp(prefix=f"request-{os.getpid()}-", dir=self._root))
        return self._made

    def new_file(self, filename: str) -> Path:
        """A path for a new file that shares nothing with the client's name but a harmless extension."""
        suffix = _SUFFIX.search(filename)
        number = sum(1 for _ in self.path.iterdir())
        return self.path / f"upload-{number}{suffix.group() if suffix else ''}"


def shown_name(filename: str) -> str:
    """A client's file name as a model may see it: no folders, no control characters, at most 255 characters."""
    name = _CONTROL.sub("", filename).replace("\\", "/").rsplit("/", 1)[-1]
    return name[-255:]
