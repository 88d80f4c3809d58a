"""The models as DEEPaaS 2.6 wants them."""

from __future__ import annotations

from typing import Any

from bench_models import work
from webargs import fields


class Echo:
    def get_metadata(self) -> dict[str, Any]:
        return {"name": type(self).__name__}

    def get_predict_args(self) -> dict[str, Any]:
        return {"data": fields.Dict(required=True)}

    def predict(self, data: Any) -> Any:
        return data


class Block(Echo):
    def get_predict_args(self) -> dict[str, Any]:
        return {"data": fields.Str(required=True)}

    def predict(self, data: str) -> str:
        return work.block(data)


class Mean(Echo):
    def get_predict_args(self) -> dict[str, Any]:
        return {
            "data": fields.List(fields.Float()),
            "file": fields.Field(location="form", type="file"),
        }

    def predict(self, data: Any = None, file: Any = None) -> float:
        if file is None:
            return work.mean(data)
        import numpy as np

        return work.mean(np.fromfile(file.filename, np.float32))


class Digest(Echo):
    def get_predict_args(self) -> dict[str, Any]:
        return {"data": fields.Field(required=True, location="form", type="file")}

    def predict(self, data: Any) -> Any:
        with open(data.filename, "rb") as file:
            return work.digest(file)


class Estimator(Echo):
    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def get_predict_args(self) -> dict[str, Any]:
        return {"data": fields.List(fields.Float(), required=True)}

    def predict(self, data: list[float]) -> int:
        return int(self.estimator.predict([data])[0])


def __getattr__(model: str) -> Any:
    """Each model, made when it is asked for."""
    if model in ("logistic", "forest"):
        return Estimator(getattr(work, model)())
    classes = {"echo": Echo, "block": Block, "mean": Mean, "digest": Digest}
    if model not in classes:
        raise AttributeError(model)
    return classes[model]()
