"""The work: what is asked of every target, and what is noted down.

All targets of a work are up at the same time and rest while others have their turn; in each round every one of them
has its turn, so that whatever else happens on the machine happens to all. A target that does not rest is left out of
this and has its rounds alone, after the others.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.load import (
    Connection,
    Sample,
    answers,
    heavy,
    latencies_ms,
    quantile,
    start_wrk,
    wrk,
)
from benchmarks.servers import CannotServe, Server, serving
from benchmarks.targets import CASES, Ask, Target

SETTLE_S = 0.3
GROWTH_FROM, GROWTH_TO, GROWTH_LIMIT_S = 5_000, 50_000, 25.0
BUSY_CONNECTIONS = 64
NONE = float("nan")


@dataclass(frozen=True)
class Options:
    """How long and how often.

    Attributes:
        rounds: Turns of every target.
        seconds: Length of a turn.
        connections: For W1 and the forest of W2.
        tell: Told of every step.
    """

    rounds: int = 5
    seconds: float = 1.0
    connections: tuple[int, ...] = (1, 8, 64)
    tell: Callable[[str], None] = print

    def fewer(self) -> Options:
        """For turns that take much longer than their ``seconds``."""
        return replace(self, rounds=max(1, self.rounds * 3 // 5))


@dataclass(frozen=True)
class Figure:
    """One thing that was measured in one round.

    Attributes:
        case: What was asked, e.g. ``64 connections``.
        target: Who was asked.
        metric: Name and unit, e.g. ``req/s``.
        round: Which turn, from 0.
        value: Not a number when the target could not do it; ``reason`` then says why.
    """

    case: str
    target: str
    metric: str
    round: int
    value: float
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """Load of one kind; ``measure`` takes port, ask, connections and seconds."""

    name: str
    ask: str
    connections: int
    measure: Callable[[int, Ask, int, float], Sample] = wrk


Figures = Iterator[Figure]


@dataclass(frozen=True)
class Lineup:
    """Servers that are up together.

    Attributes:
        targets: In the order of their turns.
        servers: Of those that serve at all, by name.
        reasons: By name and ask, why a target cannot do it.
    """

    targets: Sequence[Target]
    servers: dict[str, Server]
    reasons: dict[str, dict[str, str]]


def lineups(
    targets: Sequence[Target], models: Sequence[str], asks: Sequence[str], options: Options
) -> Iterator[Lineup]:
    """First all that rest between their turns, then each of the others; every answer has been checked once."""
    resting = [target for target in targets if not target.restless]
    for group in (resting, *([target] for target in targets if target.restless)):
        if group:
            with _lineup(group, models, asks, options.tell) as lineup:
                yield lineup


@contextlib.contextmanager
def _lineup(
    targets: Sequence[Target], models: Sequence[str], asks: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Lineup]:
    lineup = Lineup(targets, {}, {target.name: {} for target in targets})
    with contextlib.ExitStack() as stack:
        for target in targets:
            known = [ask for ask in asks if ask in target.asks]
            reasons = lineup.reasons[target.name]
            reasons.update({ask: "not offered" for ask in asks if ask not in known})
            if not known:
                continue
            try:
                server = stack.enter_context(serving(target, models, known))
            except CannotServe as failure:
                tell(f"{target.name} does not serve {', '.join(models)}: {failure}")
                reasons.update({ask: str(failure) for ask in known})
                continue
            lineup.servers[target.name] = server
            for ask in known:
                if wrong := check(server, ask):
                    tell(f"{target.name} gives no right answer to {ask}: {wrong}")
                    reasons[ask] = wrong
        yield lineup


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
        if answers(json.loads(body), expected):
            return ""
    return f"a wrong answer: {body[:200].decode(errors='replace')}"


def throughput(targets: Sequence[Target], models: Sequence[str], cases: Sequence[Case], options: Options) -> Figures:
    """Answers a second, their latencies, and the processor time of each."""
    asks = list(dict.fromkeys(case.ask for case in cases))
    warming = [case for case in cases if case.measure is wrk and case.connections > 1]
    for lineup in lineups(targets, models, asks, options):
        for case in {case.ask: case for case in warming}.values():
            for name, server in lineup.servers.items():
                if case.ask not in lineup.reasons[name]:
                    case.measure(server.port, server.target.asks[case.ask], case.connections, 1)
                    server.rest()
        for turn in range(options.rounds):
            for case in cases:
                for target in lineup.targets:
                    yield from _turn(lineup, target, case, turn, options)


def _turn(lineup: Lineup, target: Target, case: Case, turn: int, options: Options) -> Figures:
    reasons = lineup.reasons[target.name]
    if case.ask in reasons:
        yield Figure(case.name, target.name, "req/s", turn, NONE, reasons[case.ask])
        return
    server = lineup.servers[target.name]
    before = server.processor_s()
    sample = case.measure(server.port, target.asks[case.ask], case.connections, options.seconds)
    spent_us = (server.processor_s() - before) / max(1, sample.requests) * 1e6
    server.rest()
    options.tell(f"{case.name}, {target.name}: {sample}, {spent_us:.0f} µs of processor each")
    wrong = f"{sample.bad} of {sample.requests} requests failed" if sample.bad else check(server, case.ask)
    if wrong:
        reasons[case.ask] = wrong
        yield Figure(case.name, target.name, "req/s", turn, NONE, wrong)
        return
    yield Figure(case.name, target.name, "req/s", turn, sample.rate)
    yield Figure(case.name, target.name, "p50 µs", turn, sample.p50_us)
    yield Figure(case.name, target.name, "p99 µs", turn, sample.p99_us)
    yield Figure(case.name, target.name, "CPU µs", turn, spent_us)


def echo(targets: Sequence[Target], options: Options) -> Figures:
    """W1: echo of a small JSON."""
    return throughput(targets, ["echo"], [Case(_connections(n), "echo", n) for n in options.connections], options)


def estimators(targets: Sequence[Target], options: Options) -> Figures:
    """W2: one row into logistic regression, and into a forest with batching on."""
    most = max(options.connections)
    cases = [Case(f"logistic regression, {_connections(most)}", "logistic", most)]
    cases += [Case(f"forest, {_connections(n)}", "forest", n) for n in options.connections]
    return throughput(targets, ["logistic", "forest"], cases, options)


def arrays(targets: Sequence[Target], options: Options) -> Figures:
    """W3: a million 32-bit floats in, their mean out."""
    for case in (Case("JSON", "mean", 2, heavy), Case("binary", "mean, binary", 2, heavy)):
        # Each on servers of its own: one that has held larger bodies keeps the memory, and is quicker for it.
        yield from throughput(targets, ["mean"], [case], options)


def uploads(targets: Sequence[Target], options: Options) -> Figures:
    """W4: 64 MB in, length and digest out; and how far memory rises above idle meanwhile."""
    cases = [Case("the body is the file", "digest", 2, heavy), Case("a file in a form", "digest, form", 2, heavy)]
    yield from throughput(targets, ["digest"], cases, options.fewer())
    for target in targets:
        for case in cases:
            if case.ask in target.asks:
                with contextlib.suppress(CannotServe), serving(target, ["digest"], []) as server:
                    growth = peak_growth_mb(server, target.asks[case.ask], 2, 2 * options.seconds)
                    options.tell(f"{case.name}, {target.name}: {growth:.1f} MB above idle")
                    yield Figure(case.name, target.name, "growth MB", 0, growth)
        if target.huge is not None:
            with contextlib.suppress(CannotServe), serving(target, ["digest"], []) as server:
                growth = peak_growth_mb(server, target.huge, 1, 0)
                options.tell(f"2 GB, {target.name}: {growth:.1f} MB above idle")
                yield Figure("2 GB in one body", target.name, "growth MB", 0, growth)


def peak_growth_mb(server: Server, ask: Ask, connections: int, seconds: float) -> float:
    """Memory at its highest under load, above idle.

    Raises:
        CannotServe: A request failed.
    """
    time.sleep(SETTLE_S)
    idle = server.memory_mb()
    peaks = [idle]
    sample = heavy(server.port, ask, connections, seconds, lambda: peaks.append(server.memory_mb()))
    if sample.bad:
        raise CannotServe(f"{sample.bad} of {sample.requests} requests failed")
    return max(peaks) - idle


def blocking(targets: Sequence[Target], options: Options) -> Figures:
    """W5: what another client sees while 64 connections keep a model busy that blocks for 50 ms."""
    asks = ["echo", "sleep", "compute"]
    for lineup in lineups(targets, ["echo", "block"], asks, options):
        for turn in range(options.rounds):
            for target in lineup.targets:
                reasons = lineup.reasons[target.name]
                if reasons:
                    yield Figure("health, idle", target.name, "p99 ms", turn, NONE, "; ".join(set(reasons.values())))
                    continue
                for state in ("idle", "sleep", "compute"):
                    try:
                        yield from _watch(lineup.servers[target.name], state, turn, options)
                    except (OSError, ValueError) as error:
                        reasons[state] = f"failed while others asked ({state}): {error}"


def _watch(server: Server, state: str, turn: int, options: Options) -> Figures:
    target, beside = server.target, {"idle": "idle", "sleep": "while it sleeps", "compute": "while it computes"}[state]
    for what, ask in {"health": Ask(target.health), "quick model": target.asks["echo"]}.items():
        load = None
        if state != "idle":
            load = start_wrk(server.port, target.asks[state], BUSY_CONNECTIONS, 2 * SETTLE_S + options.seconds)
            time.sleep(SETTLE_S)
        try:
            found = latencies_ms(server.port, ask, options.seconds / 2)
        finally:
            if load is not None:
                load.kill()
                load.wait()
        server.rest()
        options.tell(f"{what}, {beside}, {target.name}: p99 {quantile(found, 0.99):.2f} ms of {len(found)}")
        yield Figure(f"{what}, {beside}", target.name, "p99 ms", turn, quantile(found, 0.99))


def start_up(targets: Sequence[Target], options: Options) -> Figures:
    """W6: start-up to the first answer 200, idle memory, installed size; with the echo alone."""
    for turn in range(options.fewer().rounds):
        for target in targets:
            server = Server(target, ["echo"])
            try:
                first = server.wait(target.asks["echo"])
                time.sleep(3 * SETTLE_S)
                memory = server.memory_mb()
                wrong = check(server, "echo")
                if wrong:
                    raise CannotServe(wrong)
            except CannotServe as failure:
                yield Figure("first answer", target.name, "s", turn, NONE, str(failure))
                continue
            finally:
                server.stop()
            options.tell(f"{target.name}: first answer after {first:.2f} s, {memory:.0f} MB")
            yield Figure("first answer", target.name, "s", turn, first)
            yield Figure("idle memory", target.name, "MB", turn, memory)
            if target.imports:
                yield Figure(f"import {target.imports}", target.name, "ms", turn, _import_ms(target))
    for target in targets:
        yield Figure("installed", target.name, "MB", 0, target.environment.size_mb())


def _import_ms(target: Target) -> float:
    code = f"import time; t = time.perf_counter(); import {target.imports}; print(time.perf_counter() - t)"
    done = subprocess.run([target.environment.program("python"), "-c", code], check=True, capture_output=True)
    return float(done.stdout) * 1e3


def growth(targets: Sequence[Target], options: Options) -> Figures:
    """Memory after 50,000 requests against memory after 5,000."""
    for target in targets:
        try:
            with serving(target, ["echo"], ["echo"]) as server:
                early, late = _grown(server)
        except CannotServe as failure:
            yield Figure("memory", target.name, "MB", 0, NONE, str(failure))
            continue
        options.tell(f"growth, {target.name}: {early[1]:.1f} MB at {early[0]}, {late[1]:.1f} MB at {late[0]}")
        yield Figure("memory", target.name, "MB", 0, early[1])
        yield Figure("growth", target.name, "ratio", 0, late[1] / early[1])
        yield Figure("requests", target.name, "number", 0, late[0])


def _grown(server: Server) -> list[tuple[int, float]]:
    """Requests and megabytes, early and late."""
    found: list[tuple[int, float]] = []
    done, end = 0, time.monotonic() + GROWTH_LIMIT_S
    for wanted in (GROWTH_FROM, GROWTH_TO):
        while done < wanted and time.monotonic() < end:
            sample = wrk(server.port, server.target.asks["echo"], BUSY_CONNECTIONS, 1)
            if sample.bad:
                raise CannotServe(f"{sample.bad} of {sample.requests} requests failed")
            done += sample.requests
        if done < GROWTH_FROM:
            raise CannotServe(f"{done} requests in {GROWTH_LIMIT_S:.0f} s are too few")
        server.rest()
        found.append((done, statistics.median(server.memory_mb() for _ in range(3))))
    return found


def _connections(number: int) -> str:
    return f"{number} connection{'s' if number > 1 else ''}"


WORKS: dict[str, Callable[[Sequence[Target], Options], Figures]] = {
    "W1": echo,
    "W2": estimators,
    "W3": arrays,
    "W4": uploads,
    "W5": blocking,
    "W6": start_up,
    "growth": growth,
}
