"""What is to be reached, and whether a measurement reached it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.record import Record, Values, median, ratios
from benchmarks.targets import TARGETS

OURS, INLINE, BARE = "deepaas_core", "deepaas_core inline", "bare"
FRAMEWORKS = [target.name for target in TARGETS if target.serving_framework]
ISOLATING = [name for name in FRAMEWORKS if name != "mlserver in-process"]
PEERS = [target.name for target in TARGETS if not target.name.startswith("deepaas_core") and target.name != BARE]


@dataclass(frozen=True)
class Goal:
    """One line of the table.

    Attributes:
        work: Which work shows it.
        text: What is wanted.
        found: The figure, from what was measured; not a number when it was not.
        least, most: The figure's bounds.
        unit: Of the figure; ``×`` for a ratio.
    """

    work: str
    text: str
    found: Callable[[Values], float]
    least: float = -math.inf
    most: float = math.inf
    unit: str = "×"

    def line(self, record: Record) -> str:
        """As a row: what is wanted, what was found, whether that is enough."""
        found = self.found(record.values)
        if math.isnan(found):
            return f"| {self.text} | – | not measured |"
        if math.isinf(self.least) and math.isinf(self.most):
            verdict = "to compare"
        else:
            verdict = "reached" if self.least <= found <= self.most else "**missed**"
        return f"| {self.text} | {found:.3g} {self.unit} | {verdict} |"


def short(value: float) -> str:
    """A number with two or three figures that count."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 10 else f"{value:.2g}"


def against(base: str, case: str, metric: str, name: str = OURS) -> Callable[[Values], float]:
    """The median, over the rounds, of a target's figure by another's."""
    return lambda values: median(ratios(values, case, metric, name, base))


def against_best(peers: Sequence[str], case: str, metric: str = "req/s") -> Callable[[Values], float]:
    """Ours by that of the best of the peers."""

    def found(values: Values) -> float:
        all_of_them = [against(peer, case, metric)(values) for peer in peers]
        return min((ratio for ratio in all_of_them if not math.isnan(ratio)), default=math.nan)

    return found


def alone(case: str, metric: str) -> Callable[[Values], float]:
    """The median of our own figures."""
    return lambda values: median(values.get((OURS, case, metric), ()))


def worst(*found: Callable[[Values], float]) -> Callable[[Values], float]:
    """The largest of several figures."""
    return lambda values: max(one(values) for one in found)


def beside(state: str) -> Callable[[Values], float]:
    """How much longer a quick model takes beside one that is busy in this way."""

    def found(values: Values) -> float:
        idle = values.get((OURS, "quick model, idle", "p99 ms"), ())
        busy = values.get((OURS, f"quick model, {state}", "p99 ms"), ())
        return median([two / one for one, two in zip(idle, busy, strict=False)])

    return found


SLEEPS, COMPUTES = "while it sleeps", "while it computes"
ONE, MANY = "1 connection", "64 connections"
GOALS = [
    Goal("W1", "at 64 connections, ≥ 0.6 of bare", against(BARE, MANY, "req/s"), least=0.6),
    Goal("W1", "at 64 connections, ≥ 8 × every serving framework", against_best(FRAMEWORKS, MANY), least=8),
    Goal("W1", "at 64 connections, × the best framework that isolates models", against_best(ISOLATING, MANY)),
    Goal("W1", "inline at 64 connections, ≥ 0.8 of bare", against(BARE, MANY, "req/s", INLINE), least=0.8),
    Goal("W1", "p50 at one connection, ≤ 2 × bare", against(BARE, ONE, "p50 µs"), most=2),
    Goal("W2", "logistic regression, ≥ 0.8 of bare", against(BARE, f"logistic regression, {MANY}", "req/s"), least=0.8),
    Goal("W2", "forest at 64 connections, ≥ 20 × bare", against(BARE, f"forest, {MANY}", "req/s"), least=20),
    Goal("W2", "forest at 64 connections, ≥ 2.5 × the best peer", against_best(PEERS, f"forest, {MANY}"), least=2.5),
    Goal("W2", "forest at 8 connections, × the best peer (1.9 seen)", against_best(PEERS, "forest, 8 connections")),
    Goal("W2", "forest at one connection, × the best peer (1.9 seen)", against_best(PEERS, f"forest, {ONE}")),
    Goal("W2", "forest at one connection, p50 ≤ 1.2 × bare", against(BARE, f"forest, {ONE}", "p50 µs"), most=1.2),
    Goal("W3", "JSON, ≥ 1.0 of bare", against(BARE, "JSON", "req/s"), least=1.0),
    Goal("W3", "binary, ≥ 1.5 of bare", against(BARE, "binary", "req/s"), least=1.5),
    Goal("W4", "the body is the file, ≥ 1.2 of bare", against(BARE, "the body is the file", "req/s"), least=1.2),
    Goal("W4", "a file in a form, ≥ 1.2 of bare", against(BARE, "a file in a form", "req/s"), least=1.2),
    Goal(
        "W4",
        "memory grows by less than 10 MB",
        worst(alone("the body is the file", "growth MB"), alone("a file in a form", "growth MB")),
        most=10,
        unit="MB",
    ),
    Goal("W4", "an upload of 2 GB, too", alone("2 GB in one body", "growth MB"), most=10, unit="MB"),
    Goal("W5", "health p99 < 4 ms while a model sleeps", alone(f"health, {SLEEPS}", "p99 ms"), most=4, unit="ms"),
    Goal("W5", "health p99 < 4 ms while a model computes", alone(f"health, {COMPUTES}", "p99 ms"), most=4, unit="ms"),
    Goal("W5", "a quick model's p99 within 3 × of idle while another sleeps", beside(SLEEPS), most=3),
    Goal("W5", "a quick model's p99 within 3 × of idle while another computes", beside(COMPUTES), most=3),
    Goal("W6", "first answer in less than 0.8 s", alone("first answer", "s"), most=0.8, unit="s"),
    Goal("W6", "less than 80 MB with one light model", alone("idle memory", "MB"), most=80, unit="MB"),
    Goal("W6", "import deepaas_core.cli in < 150 ms", alone("import deepaas_core.cli", "ms"), most=150, unit="ms"),
    Goal("growth", "memory within 5 % of that after 5,000 requests", alone("growth", "ratio"), least=0.95, most=1.05),
]
