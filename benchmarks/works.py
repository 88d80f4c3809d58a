"""The work: what is asked of every target, and what is noted down.

All targets of a work are up at the same time; in each round every one of them has its turn, so that whatever else
happens on the machine happens to all.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.load import Connection, answers, finish_wrk, latencies_ms, quantile, start_wrk, wrk
from benchmarks.servers import CannotServe, Server, serving
from benchmarks.targets import CASES, Ask, Target

SETTLE_S = 1.0
GROWTH_FROM, GROWTH_TO, GROWTH_LIMIT_S = 5_000, 50_000, 90.0


@dataclass(frozen=True)
class Options:
    """How long and how often.

    Attributes:
        rounds: Turns of every target.
        seconds: Length of a turn.
        connections: For W1 and W2.
        tell: Told of every step.
    """

    rounds: int = 5
    seconds: float = 3.0
    connections: tuple[int, ...] = (1, 8, 64)
    tell: Callable[[str], None] = print


@dataclass(frozen=True)
class Figure:
    """One thing that was measured in one round.

    Attributes:
        work, case: What was asked, e.g. ``W1``, ``64 connections``.
        target: Who was asked.
        metric: Name and unit, e.g. ``req/s``.
        round: Which turn, from 0.
        value: Not a number when the target could not do it; ``reason`` then says why.
    """

    work: str
    case: str
    target: str
    metric: str
    round: int
    value: float
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """Load of one kind."""

    name: str
    ask: str
    connections: int


Figures = Iterator[Figure]


@contextlib.contextmanager
def lineup(
    targets: Sequence[Target], models: Sequence[str], asks: Sequence[str], tell: Callable[[str], None]
) -> Iterator[tuple[dict[str, Server], dict[str, dict[str, str]]]]:
    """Servers of all targets that can do the work, checked; and by target and ask, why the others cannot."""
    servers: dict[str, Server] = {}
    reasons: dict[str, dict[str, str]] = {target.name: {} for target in targets}
    with contextlib.ExitStack() as stack:
        for target in targets:
            known = [ask for ask in asks if ask in target.asks]
            reasons[target.name] = {ask: "not offered" for ask in asks if ask not in known}
            if not known:
                continue
            try:
                server = stack.enter_context(serving(target, models, known[0]))
            except CannotServe as failure:
                tell(f"{target.name} does not serve {', '.join(models)}: {failure}")
                reasons[target.name] |= {ask: str(failure) for ask in known}
                continue
            servers[target.name] = server
            for ask in known:
                if wrong := check(server, ask):
                    tell(f"{target.name} gives no right answer to {ask}: {wrong}")
                    reasons[target.name][ask] = wrong
        yield servers, reasons


def check(server: Server, ask: str) -> str:
    """What is wrong with the target's answer; empty when nothing is."""
    expected = json.loads((CASES / "expected.json").read_text())[ask.partition(",")[0]]
    try:
        with Connection(server.port) as connection:
            status, body = connection.ask(server.target.asks[ask])
    except (OSError, ValueError) as error:
        return f"no answer: {error}"
    if status != 200:
        return f"status {status}: {body[:200].decode(errors='replace')}"
    with contextlib.suppress(ValueError):
        if answers(json.loads(unchunked(body)), expected):
            return ""
    return f"a wrong answer: {body[:200].decode(errors='replace')}"


def unchunked(body: bytes) -> bytes:
    """A body without the lengths of its chunks, if it has such."""
    if not body.endswith(b"\r\n0\r\n\r\n"):
        return body
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


def throughput(
    work: str, targets: Sequence[Target], models: Sequence[str], cases: Sequence[Case], options: Options
) -> Figures:
    """Answers a second and their latencies."""
    asks = list(dict.fromkeys(case.ask for case in cases))
    with lineup(targets, models, asks, options.tell) as (servers, reasons):
        for turn in range(options.rounds):
            for case in cases:
                for target in targets:
                    reason = reasons[target.name].get(case.ask)
                    if reason:
                        yield Figure(work, case.name, target.name, "req/s", turn, float("nan"), reason)
                        continue
                    ask = target.asks[case.ask]
                    server = servers[target.name]
                    before = server.processor_s()
                    sample = wrk(server.port, ask, case.connections, options.seconds)
                    spent_us = (server.processor_s() - before) / max(1, sample.requests) * 1e6
                    options.tell(f"{work} {case.name}, {target.name}: {sample}, {spent_us:.0f} µs of processor each")
                    if sample.bad:
                        reasons[target.name][case.ask] = f"{sample.bad} of {sample.requests} requests failed"
                    yield Figure(work, case.name, target.name, "req/s", turn, sample.rate)
                    yield Figure(work, case.name, target.name, "CPU µs", turn, spent_us)
                    yield Figure(work, case.name, target.name, "p50 µs", turn, sample.p50_us)
                    yield Figure(work, case.name, target.name, "p99 µs", turn, sample.p99_us)


def echo(targets: Sequence[Target], options: Options) -> Figures:
    """W1: echo of a small JSON."""
    cases = [Case(f"echo, {n}", "echo", n) for n in options.connections]
    return throughput("W1", targets, ["echo"], cases, options)


def estimators(targets: Sequence[Target], options: Options) -> Figures:
    """W2: one row into logistic regression, and into a forest with batching on."""
    for model in ("logistic", "forest"):
        cases = [Case(f"{model}, {n}", model, n) for n in options.connections]
        yield from throughput("W2", targets, [model], cases, options)


def arrays(targets: Sequence[Target], options: Options) -> Figures:
    """W3: a million 32-bit floats in, their mean out."""
    cases = [Case("JSON", "mean", 2), Case("binary", "mean, binary", 2)]
    return throughput("W3", targets, ["mean"], cases, options)


def uploads(targets: Sequence[Target], options: Options) -> Figures:
    """W4: 64 MB in, length and digest out; and how far memory rises above idle meanwhile."""
    cases = [Case("body", "digest", 2), Case("form", "digest, form", 2)]
    yield from throughput("W4", targets, ["digest"], cases, options)
    with lineup(targets, ["digest"], [case.ask for case in cases], options.tell) as (servers, reasons):
        for name, server in servers.items():
            for case in cases:
                if case.ask not in reasons[name]:
                    growth = peak_growth_mb(server, server.target.asks[case.ask], 2, options.seconds)
                    yield Figure("W4", case.name, name, "growth MB", 0, growth)


def peak_growth_mb(server: Server, ask: Ask, connections: int, seconds: float) -> float:
    """Memory at its highest under load, above idle."""
    idle, peak = server.memory_mb(), 0.0
    load = start_wrk(server.port, ask, connections, seconds)
    while load.poll() is None:
        peak = max(peak, server.memory_mb())
        time.sleep(0.1)
    finish_wrk(load)
    return max(peak, server.memory_mb()) - idle


def blocking(targets: Sequence[Target], options: Options) -> Figures:
    """W5: what another client sees while 64 connections keep a model busy that blocks for 50 ms."""
    watched = {"health": lambda target: Ask(target.health), "quick model": lambda target: target.asks["echo"]}
    asks = ["echo", "sleep", "compute"]
    with lineup(targets, ["echo", "block"], asks, options.tell) as (servers, reasons):
        for turn in range(options.rounds):
            for target in targets:
                if target.name not in servers or reasons[target.name]:
                    reason = "; ".join(reasons[target.name].values())
                    yield Figure("W5", "idle: health", target.name, "p99 ms", turn, float("nan"), reason)
                    continue
                port = servers[target.name].port
                for state in ("idle", "sleep", "compute"):
                    load = None
                    if state != "idle":
                        load = start_wrk(port, target.asks[state], 64, 2 * options.seconds + 1)
                        time.sleep(SETTLE_S / 2)
                    for what, ask in watched.items():
                        found = latencies_ms(port, ask(target), options.seconds)
                        p99 = quantile(found, 0.99)
                        options.tell(f"W5 {state}: {what}, {target.name}: p99 {p99:.2f} ms of {len(found)}")
                        yield Figure("W5", f"{state}: {what}", target.name, "p99 ms", turn, p99)
                    if load is not None:
                        finish_wrk(load)


def start_up(targets: Sequence[Target], options: Options) -> Figures:
    """W6: start-up to the first answer 200, idle memory, installed size; with the echo alone."""
    for turn in range(options.rounds):
        for target in targets:
            server = Server(target, ["echo"])
            try:
                first = server.wait(target.asks["echo"])
                time.sleep(SETTLE_S)
                memory = server.memory_mb()
            except CannotServe as failure:
                yield Figure("W6", "first answer", target.name, "s", turn, float("nan"), str(failure))
                continue
            finally:
                server.stop()
            options.tell(f"W6 {target.name}: first answer after {first:.2f} s, {memory:.0f} MB")
            yield Figure("W6", "first answer", target.name, "s", turn, first)
            yield Figure("W6", "idle memory", target.name, "MB", turn, memory)
    for target in targets:
        yield Figure("W6", "installed", target.name, "MB", 0, target.environment.size_mb())


def growth(targets: Sequence[Target], options: Options) -> Figures:
    """Memory after 50,000 requests against memory after 5,000."""
    with lineup(targets, ["echo"], ["echo"], options.tell) as (servers, _):
        for name, server in servers.items():
            memory: list[tuple[int, float]] = []
            done, end = 0, time.monotonic() + GROWTH_LIMIT_S
            for wanted in (GROWTH_FROM, GROWTH_TO):
                while done < wanted and time.monotonic() < end:
                    done += wrk(server.port, server.target.asks["echo"], 64, 1).requests
                memory.append((done, statistics.median(server.memory_mb() for _ in range(3))))
            (early, before), (late, after) = memory
            options.tell(f"growth, {name}: {before:.1f} MB at {early}, {after:.1f} MB at {late}")
            yield Figure("growth", "memory", name, "ratio", 0, after / before)
            yield Figure("growth", "requests", name, "requests", 0, late)


WORKS: dict[str, Callable[[Sequence[Target], Options], Figures]] = {
    "W1": echo,
    "W2": estimators,
    "W3": arrays,
    "W4": uploads,
    "W5": blocking,
    "W6": start_up,
    "growth": growth,
}
