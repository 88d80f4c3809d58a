"""Ray Serve: a deployment per model; the forest with batching on."""

from __future__ import annotations

import sys
import time
from typing import Any

import ray
from bench_models import work
from ray import serve

options: dict[str, Any] = {"max_ongoing_requests": 100, "ray_actor_options": {"num_cpus": 0.1}}


@serve.deployment(**options)
class Echo:
    async def __call__(self, request: Any) -> Any:
        return {"prediction": (await request.json())["data"]}


@serve.deployment(**options)
class Block:
    async def __call__(self, request: Any) -> Any:
        return {"prediction": work.block((await request.json())["data"])}


@serve.deployment(**options)
class Mean:
    async def __call__(self, request: Any) -> Any:
        import numpy as np

        if request.headers["content-type"] == "application/json":
            return {"prediction": work.mean((await request.json())["data"])}
        return {"prediction": work.mean(np.frombuffer(await request.body(), np.float32))}


@serve.deployment(**options)
class Digest:
    async def __call__(self, request: Any) -> Any:
        if request.headers["content-type"].startswith("multipart/"):
            return {"prediction": work.digest((await request.form())["data"].file)}
        return {"prediction": work.digest_bytes(await request.body())}


@serve.deployment(**options)
class Logistic:
    def __init__(self) -> None:
        self.estimator = work.logistic()

    async def __call__(self, request: Any) -> Any:
        return {"prediction": int(self.estimator.predict([(await request.json())["data"]])[0])}


@serve.deployment(**options)
class Forest:
    def __init__(self) -> None:
        self.estimator = work.forest()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def predict(self, rows: list[Any]) -> list[int]:
        return self.estimator.predict(rows).tolist()

    async def __call__(self, request: Any) -> Any:
        return {"prediction": await self.predict((await request.json())["data"])}


if __name__ == "__main__":
    deployments = {
        "echo": Echo, "block": Block, "mean": Mean, "digest": Digest, "logistic": Logistic, "forest": Forest
    }  # fmt: skip
    ray.init(include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[3])
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, logging_config={"enable_access_log": False}
    )
    for model in sys.argv[2].split(","):
        serve.run(deployments[model].bind(), name=model, route_prefix=f"/{model}")
    while True:
        time.sleep(3600)
