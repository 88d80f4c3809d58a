"""Environments are made by uv, and whoever has none is told so."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from deepaas_core.errors import SettingsError
from deepaas_core.plugins.making import Wish, Workshop


def test_who_has_no_uv_is_told_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"deepaas-core\[environments\]"):
        Workshop(tmp_path / "environments").create("garden", Wish(packages=["six"]))
    assert list(tmp_path.iterdir()) == []
