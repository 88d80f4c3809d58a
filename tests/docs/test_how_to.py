"""The callbacks in the how-to on reporting do what it says, with stand-ins for the libraries that call them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from deepaas_core import run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "report-training-progress.md"


class Tensor:
    """A number as PyTorch has it."""

    def __init__(self, value):
        self._value = value

    def tolist(self):
        return self._value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the run in which the callbacks are called."""
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(run, "_asked_before", True)  # leave this process's own signals alone
    monkeypatch.setenv("DEEPAAS_CORE_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("DEEPAAS_CORE_MODEL_DIR", str(tmp_path / "model"))
    return tmp_path


def written(heading, monkeypatch, **known):
    """What the code below a heading defines; the libraries that it imports are stand-ins."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2]
    for name in ("keras", "lightning", "torch"):
        library = ModuleType(name)
        library.Callback = type("Callback", (), {})
        library.callbacks = SimpleNamespace(Callback=library.Callback)
        library.save = lambda state, path: path.write_text(str(state))
        monkeypatch.setitem(sys.modules, name, library)
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], known)
    return known


def told(folder):
    lines = (folder / "events.ndjson").read_text().splitlines()
    return [(event["event"], event["values"]) for event in map(json.loads, lines)]


def test_a_keras_training_reports_and_can_be_cancelled(folder, monkeypatch):
    class Network:
        def fit(self, x, y, epochs, verbose, callbacks):
            [callback] = callbacks
            callback.model, callback.params = self, {"epochs": epochs}
            for epoch in range(epochs):
                if epoch == 1:
                    (folder / "cancel").touch()
                callback.on_epoch_end(epoch, {"loss": 0.5})
                if self.stop_training:
                    break

        def save(self, path):
            path.write_text("network")

    written("Keras", monkeypatch, network=Network(), x=None, y=None)["train"](epochs=5)
    assert told(folder) == [
        ("progress", {"done": 1, "total": 5}),
        ("metrics", {"epoch": 1, "loss": 0.5}),
        ("progress", {"done": 2, "total": 5}),
        ("metrics", {"epoch": 2, "loss": 0.5}),
    ]
    assert (folder / "model" / "network.keras").read_text() == "network"


def test_a_lightning_training_reports(folder, monkeypatch):
    callback = written("PyTorch Lightning", monkeypatch)["Report"]()
    trainer = SimpleNamespace(current_epoch=2, max_epochs=10, callback_metrics={"val_loss": Tensor(0.25)})
    callback.on_train_epoch_end(trainer, None)
    assert told(folder) == [("progress", {"done": 3, "total": 10}), ("metrics", {"epoch": 3, "val_loss": 0.25})]
    assert trainer.should_stop is False


def test_a_pytorch_loop_reports_and_keeps_its_weights(folder, monkeypatch):
    network = SimpleNamespace(state_dict=lambda: {"w": 1})
    known = {"network": network, "batches": [1, 2], "step": lambda batch: Tensor(batch / 4)}
    written("PyTorch", monkeypatch, **known)["train"](epochs=1)
    assert told(folder) == [("metrics", {"epoch": 1, "loss": 0.5}), ("progress", {"done": 1, "total": 1})]
    assert (folder / "model" / "network.pt").exists()
