"""Who is measured: how each target is started, and how it wants to be asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
    """

    path: str
    body: str = ""
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

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
    """

    name: str
    environment: Environment
    command: Callable[[int, Sequence[str]], list[str]]
    health: str
    asks: Mapping[str, Ask]
    environ: Callable[[Sequence[str]], Mapping[str, str]] = lambda models: {}
    note: str = ""


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
LITSERVE = Environment("litserve", requirements("litserve"))
CORE = Environment("core", (), from_source=True)


def named(models: Sequence[str]) -> dict[str, str]:
    """The models, where a peer finds them."""
    return {"BENCHMARK_MODELS": ",".join(models), "PYTHONPATH": str(PEERS)}


def without(asks: Mapping[str, Ask], *names: str) -> dict[str, Ask]:
    """Less than all kinds of work."""
    return {name: ask for name, ask in asks.items() if name not in names}


def _core(name: str, *options: str) -> Target:
    def command(port: int, models: Sequence[str]) -> list[str]:
        chosen = [part for model in models for part in ("--model", model)]
        data = str(FOLDER / "data" / str(port))
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
    return Target(name, CORE, command, "/livez", asks)


TARGETS: list[Target] = [
    Target(
        "bare",
        BARE,
        lambda port, models: [BARE.program("python"), str(PEERS / "bare.py"), str(port), ",".join(models)],
        "/health",
        by_hand(),
        note="aiohttp, uvloop and orjson; everything on the event loop of one process: the limit",
    ),
    _core("deepaas_core"),
    _core("deepaas_core inline", "--workers-executor", "inline"),
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
        note="batches of up to 64 within 5 ms for the forest",
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
