"""BentoML: one service with a route per model; the forest with adaptive batching."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from bench_models import work

models = os.environ["BENCHMARK_MODELS"].split(",")


@bentoml.service(traffic={"timeout": 60})
class Models:
    def __init__(self) -> None:
        self.estimators = {name: getattr(work, name)() for name in models if name in ("logistic", "forest")}

    @bentoml.api(route="/echo")
    def echo(self, data: dict[str, Any]) -> dict[str, Any]:
        return data

    @bentoml.api(route="/block")
    def block(self, data: str) -> dict[str, Any]:
        return {"prediction": work.block(data)}

    @bentoml.api(route="/mean")
    def mean(self, data: np.ndarray) -> float:
        return work.mean(data)

    @bentoml.api(route="/mean/binary")
    def mean_of_file(self, data: Path) -> float:
        return work.mean(np.fromfile(data, np.float32))

    @bentoml.api(route="/digest/form")
    def digest(self, data: Path) -> dict[str, Any]:
        with data.open("rb") as file:
            return work.digest(file)

    @bentoml.api(route="/logistic")
    def logistic(self, data: list[float]) -> int:
        return int(self.estimators["logistic"].predict([data])[0])

    @bentoml.api(route="/forest", batchable=True, max_batch_size=64)
    def forest(self, data: np.ndarray) -> np.ndarray:
        return self.estimators["forest"].predict(data)
