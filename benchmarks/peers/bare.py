"""The least an aiohttp server can do: one handler per model, orjson in and out, the work done on the event loop."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

import orjson
import uvloop
from aiohttp import web
from bench_models import work

PIECE_BYTES = 1 << 18


def answer(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps({"prediction": value}), content_type="application/json")


def from_json(function: Callable[[Any], Any]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        return answer(function(orjson.loads(await request.read())["data"]))

    return handle


def from_bytes(function: Callable[[Any], Any]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        return answer(function(await request.read()))

    return handle


async def digest_body(request: web.Request) -> web.Response:
    digest, length = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        digest.update(piece)
        length += len(piece)
    return answer({"length": length, "sha256": digest.hexdigest()})


async def digest_form(request: web.Request) -> web.Response:
    digest, length = hashlib.sha256(), 0
    async for part in await request.multipart():
        while piece := await part.read_chunk(PIECE_BYTES):
            digest.update(piece)
            length += len(piece)
    return answer({"length": length, "sha256": digest.hexdigest()})


async def health(request: web.Request) -> web.Response:
    return web.Response(text="ok")


def row_of(estimator: Any) -> Callable[[Any], int]:
    return lambda row: int(estimator.predict([row])[0])


def routes(model: str) -> list[web.RouteDef]:
    match model:
        case "logistic":
            return [web.post("/logistic", from_json(row_of(work.logistic())))]
        case "forest":
            return [web.post("/forest", from_json(row_of(work.forest())))]
        case "mean":
            import numpy as np

            binary = from_bytes(lambda content: work.mean(np.frombuffer(content, np.float32)))
            return [web.post("/mean", from_json(work.mean)), web.post("/mean/binary", binary)]
        case "digest":
            return [web.post("/digest", digest_body), web.post("/digest/form", digest_form)]
        case "block":
            return [web.post("/block", from_json(work.block))]
    return [web.post("/echo", from_json(lambda value: value))]


def main(port: int, models: list[str]) -> None:
    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.get("/health", health)])
    for model in models:
        app.add_routes(routes(model))
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, loop=uvloop.new_event_loop(), print=lambda *_: None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].split(","))
