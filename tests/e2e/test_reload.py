"""``serve --reload``: what is edited is served a moment later, on the same port, and no request is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.server import Server, until

pytestmark = pytest.mark.e2e


def package(server: Server, text: str) -> Path:
    """A model whose code lies in a package, in a module that its entry point does not name."""
    server.install("edited", "")
    site = server.folder / "site"
    (site / "model_edited.py").rename(site / "model_edited.txt")
    module = site / "model_edited" / "words.py"
    module.parent.mkdir()
    (module.parent / "__init__.py").write_text("from .words import predict_data\n")
    write(module, text)
    return module


def write(module: Path, text: str) -> None:
    """As editors do it: a new file takes the place of the old one."""
    new = module.with_suffix(".new")
    new.write_text(f"def predict_data(data, times: int = 1):\n    return {text}\n")
    new.replace(module)


def said(server: Server) -> list:
    return [server.predict("edited", "x").json.get("prediction") for _ in range(6)]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_an_edit_is_served_and_a_mistake_leaves_the_old_code_serving(server: Server, processes: str):
    module = package(server, "'first'")
    server.start("--reload", "--http-workers", processes, "--model", "edited")
    until(lambda: "watching source" in server.log)
    url = server.url
    assert set(said(server)) == {"first"}
    write(module, "'second'")
    until(lambda: set(said(server)) == {"second"})
    write(module, "'third' +")
    until(lambda: "SyntaxError" in server.ask("/readyz").json["models"]["edited"].get("reason", ""))
    assert set(said(server)) == {"second"}
    assert 'words.py", line 2' in server.log
    write(module, "'fourth'")
    until(lambda: set(said(server)) == {"fourth"})
    assert "reason" not in server.ask("/readyz").json["models"]["edited"]
    assert server.url == url
    assert server.stop() == 0


def test_a_mistake_at_the_start_is_mended_by_an_edit_and_a_hanging_import_by_the_next(server: Server):
    module = package(server, "'first' +")
    server.start("--reload", "--model", "edited")
    until(lambda: "watching source" in server.log)
    assert server.ask("/readyz").status == 503
    write(module, "'second'")
    until(lambda: said(server)[0] == "second" and "source edited" in server.log)  # a restart may come before that
    module.write_text("import time\ntime.sleep(600)\n")
    until(lambda: server.log.count("source edited") == 2)
    write(module, "'third'")
    until(lambda: said(server)[0] == "third")


def test_a_model_of_one_file_is_watched(server: Server):
    code = server.install("edited", "def predict_data(data): return 'first'")
    server.start("--reload")
    until(lambda: "watching source" in server.log)
    code.write_text("def predict_data(data): return 'second one'")
    until(lambda: said(server)[0] == "second one")


def test_what_comes_with_the_server_is_not_watched(server: Server):
    server.install("edited", "")
    points = server.folder / "site" / "model_edited.dist-info" / "entry_points.txt"
    points.write_text("[deepaas.model]\nedited = deepaas_core.testing.model\n")
    server.start("--reload")
    until(lambda: "source is not watched" in server.log)
    assert server.predict("edited", "x").json["prediction"] == "x"
