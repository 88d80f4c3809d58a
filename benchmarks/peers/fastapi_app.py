"""FastAPI and uvicorn, as one writes them by hand: plain functions on threads, so that the loop stays free."""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Any

import numpy as np
from bench_models import work
from fastapi import Body, FastAPI, Request, UploadFile
from fastapi.concurrency import run_in_threadpool

app = FastAPI()
models = os.environ["BENCHMARK_MODELS"].split(",")


@app.get("/health")
async def health() -> str:
    return "ok"


@app.post("/echo")
def echo(data: Annotated[Any, Body(embed=True)]) -> dict[str, Any]:
    return {"prediction": data}


@app.post("/block")
def block(data: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
    return {"prediction": work.block(data)}


@app.post("/mean")
def mean(data: Annotated[list[float], Body(embed=True)]) -> dict[str, Any]:
    return {"prediction": work.mean(data)}


@app.post("/mean/binary")
async def mean_of_bytes(request: Request) -> dict[str, Any]:
    array = np.frombuffer(await request.body(), np.float32)
    return {"prediction": await run_in_threadpool(work.mean, array)}


@app.post("/digest")
async def digest_body(request: Request) -> dict[str, Any]:
    digest, length = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        length += len(piece)
    return {"prediction": {"length": length, "sha256": digest.hexdigest()}}


@app.post("/digest/form")
def digest_form(data: UploadFile) -> dict[str, Any]:
    return {"prediction": work.digest(data.file)}


def serve_estimator(name: str, estimator: Any) -> None:
    @app.post(f"/{name}")
    def predict(data: Annotated[list[float], Body(embed=True)]) -> dict[str, Any]:
        return {"prediction": int(estimator.predict([data])[0])}


for name in {"logistic", "forest"}.intersection(models):
    serve_estimator(name, getattr(work, name)())
