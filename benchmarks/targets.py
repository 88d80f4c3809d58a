"""Who is measured: how each target is started, and how it wants to be asked."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.environments import FOLDER, HERE, Environment

CASES = FOLDER / "cases"
PEERS = HERE / "peers"
JSON, OCTETS, NPY = "application/json", "application/octet-stream", "application/x-npy"
FORM = "multipart/form-data; boundary=benchmark-boundary"


@dataclass(frozen=True)
class Ask:
    """One request of a target.

    Attributes:
        path: Where it goes.
        body: A file below ``CASES``; empty for a GET.
        media_type: Of the body.
        headers: Further ones.
        repeat: How many times the body is sent, as one.
    """

    path: str
    body: str = ""
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: int = 1

    def content(self) -> bytes:
        """The bytes of the body."""
        return (CASES / self.body).read_bytes() if self.body else b""


@dataclass(frozen=True)
class Target:
    """A server to be measured.

    Attributes:
        name: As it is shown and chosen.
        environment: What it is installed in.
        command: The command that serves the given models on a port.
        health: The route that tells whether it lives.
        asks: How a kind of work is asked for; what is missing cannot be done by this target.
        environ: Environment variables for given models.
        note: What a reader must know.
        restless: Whether its processes take so much while nobody asks that others could not be measured beside it.
        serving_framework: Whether it exists to serve models, and isolates or batches them.
        huge: How 2 GB are uploaded.
        imports: The module whose import is timed.
    """

    name: str
    environment: Environment
    command: Callable[[int, Sequence[str]], list[str]]
    health: str
    asks: Mapping[str, Ask]
    environ: Callable[[Sequence[str]], Mapping[str, str]] = lambda models: {}
    note: str = ""
    restless: bool = False
    serving_framework: bool = False
    huge: Ask | None = None
    imports: str = ""


def by_hand(prefix: str = "") -> dict[str, Ask]:
    """The requests of a server whose routes were written for this."""
    rows = {name: Ask(f"{prefix}/{name}", "row.data.json") for name in ("logistic", "forest")}
    return {
        "echo": Ask(f"{prefix}/echo", "tiny.data.json"),
        "sleep": Ask(f"{prefix}/block", "sleep.data.json"),
        "compute": Ask(f"{prefix}/block", "compute.data.json"),
        **rows,
        "mean": Ask(f"{prefix}/mean", "array.data.json"),
        "mean, binary": Ask(f"{prefix}/mean/binary", "array.bin", OCTETS),
        "digest": Ask(f"{prefix}/digest", "upload.bin", OCTETS),
        "digest, form": Ask(f"{prefix}/digest/form", "upload.form", FORM),
    }


def requirements(peer: str) -> tuple[str, ...]:
    """What a peer is installed from; its own distribution comes first."""
    return tuple((PEERS / peer / "requirements.txt").read_text().split())


BARE = Environment("bare", requirements("bare"))
FASTAPI = Environment("fastapi", requirements("fastapi"))
FLASK = Environment("flask", requirements("flask"))
DEEPAAS = Environment("deepaas", requirements("deepaas"))
MLSERVER = Environment("mlserver", requirements("mlserver"))
BENTOML = Environment("bentoml", requirements("bentoml"))
RAY = Environment("ray", requirements("ray"))
LITSERVE = Environment("litserve", requirements("litserve"))
CORE = Environment("core", (), from_source=True)


def named(models: Sequence[str]) -> dict[str, str]:
    """The models, where a peer finds them."""
    return {"BENCHMARK_MODELS": ",".join(models), "PYTHONPATH": str(PEERS)}


def without(asks: Mapping[str, Ask], *names: str) -> dict[str, Ask]:
    """Less than all kinds of work."""
    return {name: ask for name, ask in asks.items() if name not in names}


def _core(name: str, note: str, *options: str) -> Target:
    def command(port: int, models: Sequence[str]) -> list[str]:
        chosen = [part for model in models for part in ("--model", model)]
        data = str(folder_of(port) / "data")
        return [CORE.program("deepaas-core"), "serve", "--port", str(port), "--data-dir", data, *chosen, *options]

    def data(model: str, body: str, media_type: str = JSON) -> Ask:
        return Ask(f"/api/v1/models/{model}/predict/data", body, media_type)

    asks = {
        "echo": data("echo", "tiny.data.json"),
        "sleep": data("block", "sleep.data.json"),
        "compute": data("block", "compute.data.json"),
        **{name: data(name, "row.data.json") for name in ("logistic", "forest")},
        "mean": data("mean", "array.data.json"),
        "mean, binary": data("mean", "array.npy", NPY),
        "digest": Ask("/api/v1/models/digest/predict/file", "upload.bin", OCTETS),
        "digest, form": Ask("/api/v1/models/digest/predict/file", "upload.form", FORM),
    }
    return Target(
        name,
        CORE,
        command,
        "/livez",
        asks,
        note=note,
        huge=replace(asks["digest"], repeat=2048 // 64),
        imports="deepaas_core.cli",
    )


def _deepaas(models: Sequence[str]) -> dict[str, str]:
    """A distribution that declares just these models, made on the fly."""
    folder = FOLDER / "plugins" / "-".join(models)
    metadata = folder / "bench_deepaas-1.0.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-deepaas\nVersion: 1.0.0\n")
    lines = [f"{model} = deepaas_models:{model}" for model in models]
    (metadata / "entry_points.txt").write_text("\n".join(["[deepaas.v2.model]", *lines, ""]))
    return {"PYTHONPATH": f"{PEERS}:{folder}"}


def _deepaas_asks() -> dict[str, Ask]:
    def at(model: str, body: str, media_type: str = JSON) -> Ask:
        return Ask(f"/v2/models/{model}/predict/", body, media_type)

    return {
        "echo": at("echo", "tiny.data.json"),
        "sleep": at("block", "sleep.data.json"),
        "compute": at("block", "compute.data.json"),
        "logistic": at("logistic", "row.data.json"),
        "forest": at("forest", "row.data.json"),
        "mean": at("mean", "array.data.json"),
        "mean, binary": at("mean", "array.file.form", FORM),
        "digest, form": at("digest", "upload.form", FORM),
    }


_MLSERVER_NOTE = "batches of up to 64 within 5 ms for the forest; uploads as base64; no access log"


def _mlserver(name: str, parallel_workers: int, note: str) -> Target:
    classes = {"echo": "Echo", "block": "Block", "mean": "Mean", "digest": "Digest"}

    def command(port: int, models: Sequence[str]) -> list[str]:
        folder = folder_of(port) / "models"
        folder.mkdir()
        settings = {"host": "127.0.0.1", "http_port": port, "parallel_workers": parallel_workers}
        settings |= {"debug": False}  # which would be a line of log for each request
        settings |= {"grpc_port": free_port(), "metrics_port": free_port(), "grpc_max_message_length": 1 << 30}
        (folder / "settings.json").write_text(json.dumps(settings))
        for model in models:
            own = {"name": model, "implementation": f"mlserver_models.{classes.get(model, 'Estimator')}"}
            batching = {"max_batch_size": 64, "max_batch_time": 0.005} if model == "forest" else {}
            (folder / model).mkdir()
            (folder / model / "model-settings.json").write_text(json.dumps({**own, **batching}))
        return [MLSERVER.program("mlserver"), "start", str(folder)]

    def at(model: str, body: str) -> Ask:
        return Ask(f"/v2/models/{model}/infer", f"{body}.oip.json")

    asks = {
        "echo": at("echo", "tiny"),
        "sleep": at("block", "sleep"),
        "compute": at("block", "compute"),
        "logistic": at("logistic", "row"),
        "forest": at("forest", "row"),
        "mean": at("mean", "array"),
        "digest, form": at("digest", "upload"),
    }
    return Target(name, MLSERVER, command, "/v2/health/live", asks, named, note, serving_framework=True)


def folder_of(port: int) -> Path:
    """Where the server of a port keeps whatever it writes; short, because some put sockets there."""
    return Path(tempfile.gettempdir()) / f"benchmark-{port}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


TARGETS: list[Target] = [
    Target(
        "bare",
        BARE,
        lambda port, models: [BARE.program("python"), str(PEERS / "bare.py"), str(port), ",".join(models)],
        "/health",
        by_hand(),
        note="aiohttp, uvloop and orjson; everything on the event loop of one process: the limit",
    ),
    _core("deepaas_core", "each model in a worker process of its own; access lines are written"),
    _core("deepaas_core inline", "the models on threads of the server", "--workers-executor", "inline"),
    Target(
        "fastapi",
        FASTAPI,
        lambda port, models: [FASTAPI.program("uvicorn"), "fastapi_app:app", "--port", str(port), "--no-access-log"],
        "/health",
        by_hand(),
        named,
        "uvicorn with uvloop and httptools, models on threads, no access log",
    ),
    Target(
        "flask",
        FLASK,
        lambda port, models: [
            FLASK.program("gunicorn"),
            "flask_app:app",
            "--bind",
            f"127.0.0.1:{port}",
            "--threads",
            "16",
        ],
        "/health",
        by_hand(),
        named,
        "gunicorn with 16 threads, no access log",
    ),
    Target(
        "litserve",
        LITSERVE,
        lambda port, models: [LITSERVE.program("python"), str(PEERS / "litserve_app.py"), str(port), ",".join(models)],
        "/health",
        without(by_hand(), "mean, binary", "digest"),
        note="a worker process per model; batches of up to 64 within 5 ms for the forest; uploads in a form",
        serving_framework=True,
    ),
    Target(
        "deepaas",
        DEEPAAS,
        lambda port, models: [DEEPAAS.program("deepaas-run"), "--listen-ip", "127.0.0.1", "--listen-port", str(port)],
        "/v2/models/",
        _deepaas_asks(),
        _deepaas,
        "its pool of one process; arrays and uploads in a form; no batching",
        serving_framework=True,
    ),
    _mlserver("mlserver in-process", 0, f"no worker process; {_MLSERVER_NOTE}"),
    _mlserver("mlserver", 1, f"one worker process; {_MLSERVER_NOTE}"),
    Target(
        "bentoml",
        BENTOML,
        lambda port, models: [
            BENTOML.program("bentoml"),
            "serve",
            "bentoml_app:Models",
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
        ],
        "/livez",
        {
            **without(by_hand(), "digest"),
            "forest": Ask("/forest", "row.batch.json"),
            "mean, binary": Ask("/mean/binary", "array.form", FORM),
        },
        lambda models: {**named(models), "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false"},
        "adaptive batches of up to 64 for the forest; arrays and uploads in a form; no access log",
        serving_framework=True,
    ),
    Target(
        "ray",
        RAY,
        lambda port, models: [
            RAY.program("python"),
            str(PEERS / "ray_app.py"),
            str(port),
            ",".join(models),
            str(folder_of(port)),
        ],
        "/-/healthz",
        by_hand(),
        lambda models: {"RAY_USAGE_STATS_ENABLED": "0"},
        "a replica per model, up to 100 requests on the way to it; batches of up to 64 within 5 ms for the forest; "
        "no access log",
        restless=True,
        serving_framework=True,
    ),
]


def chosen(names: Sequence[str]) -> list[Target]:
    """The targets of these names, `bare` always among them.

    Raises:
        SystemExit: There is no such target.
    """
    known = {target.name for target in TARGETS}
    if unknown := set(names) - known:
        sys.exit(f"No such target: {', '.join(sorted(unknown))}. There are: {', '.join(sorted(known))}.")
    return [target for target in TARGETS if not names or target.name in names or target.name == "bare"]
