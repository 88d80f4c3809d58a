"""Copying folders."""

import shutil
from typing import Any


def copy_tree(src: str, dst: str, *_: Any, **__: Any) -> None:
    """Copy what is in a folder into another, which may exist."""
    shutil.copytree(src, dst, dirs_exist_ok=True)
