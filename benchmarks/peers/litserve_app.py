"""LitServe: an API per model, each in a worker process; the forest with batching on."""

from __future__ import annotations

import sys
from typing import Any

import litserve
from bench_models import work


class Echo(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request):
        return request["data"]

    def predict(self, x: Any) -> Any:
        return x

    def encode_response(self, output: Any) -> Any:
        return {"prediction": output}


class Block(Echo):
    def predict(self, x: Any) -> Any:
        return work.block(x)


class Mean(Echo):
    def predict(self, x: Any) -> Any:
        return work.mean(x)


class Digest(Echo):
    def decode_request(self, request):
        return request["data"].file

    def predict(self, x: Any) -> Any:
        return work.digest(x)


class Logistic(Echo):
    def setup(self, device: str) -> None:
        self.estimator = work.logistic()

    def predict(self, x: Any) -> Any:
        return int(self.estimator.predict([x])[0])


class Forest(Echo):
    def setup(self, device: str) -> None:
        self.estimator = work.forest()

    def batch(self, inputs: Any) -> Any:
        return inputs

    def predict(self, x: Any) -> Any:
        return self.estimator.predict(x).tolist()

    def unbatch(self, output: Any) -> Any:
        return output


def api(model: str) -> litserve.LitAPI:
    path = "/digest/form" if model == "digest" else f"/{model}"
    if model == "forest":
        return Forest(api_path=path, max_batch_size=64, batch_timeout=0.005)
    return {"echo": Echo, "block": Block, "mean": Mean, "digest": Digest, "logistic": Logistic}[model](api_path=path)


if __name__ == "__main__":
    server = litserve.LitServer([api(model) for model in sys.argv[2].split(",")], accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
