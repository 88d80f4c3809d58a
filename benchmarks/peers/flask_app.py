"""Flask under gunicorn with threads, as one writes it by hand."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from bench_models import work
from flask import Flask, request

app = Flask(__name__)
models = os.environ["BENCHMARK_MODELS"].split(",")


@app.get("/health")
def health() -> str:
    return "ok"


@app.post("/echo")
def echo() -> dict[str, Any]:
    return {"prediction": request.get_json()["data"]}


@app.post("/block")
def block() -> dict[str, Any]:
    return {"prediction": work.block(request.get_json()["data"])}


@app.post("/mean")
def mean() -> dict[str, Any]:
    return {"prediction": work.mean(request.get_json()["data"])}


@app.post("/mean/binary")
def mean_of_bytes() -> dict[str, Any]:
    return {"prediction": work.mean(np.frombuffer(request.get_data(), np.float32))}


@app.post("/digest")
def digest_body() -> dict[str, Any]:
    return {"prediction": work.digest(request.stream)}


@app.post("/digest/form")
def digest_form() -> dict[str, Any]:
    return {"prediction": work.digest(request.files["data"].stream)}


def serve_estimator(name: str, estimator: Any) -> None:
    @app.post(f"/{name}", endpoint=name)
    def predict() -> dict[str, Any]:
        return {"prediction": int(estimator.predict([request.get_json()["data"]])[0])}


for name in {"logistic", "forest"}.intersection(models):
    serve_estimator(name, getattr(work, name)())
