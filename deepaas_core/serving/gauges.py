"""How the server is doing right now, read from the parts themselves when somebody wants to know."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

from deepaas_core import __version__
from deepaas_core.domain.training import RunState
from deepaas_core.errors import StoreUnavailable
from deepaas_core.executors.base import ExecutorState
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.trainer import Trainer
from deepaas_core.telemetry.metrics import Counts, Gauges, ModelGauges


async def measure(catalog: Catalog, trainer: Trainer, http: Sequence[int] = ()) -> Gauges:
    """Look at everything once.

    Args:
        catalog: The models.
        trainer: The training runs.
        http: Ids of the processes that answer requests; empty if this one does.
    """
    activities = {entry.name: entry.executor.activity() for entry in catalog.with_parts()}
    models = (
        ModelGauges(
            entry.name,
            str(entry.state),
            activities[entry.name].waiting,
            activities[entry.name].workers,
            activities[entry.name].restarts,
        )
        for entry in catalog.with_parts()
    )
    failed = (ModelGauges(problem.name, str(ExecutorState.FAILED), 0, 0, 0) for problem in catalog.problems)
    processes = {("server", ""): [os.getpid()], ("http", ""): list(http)}
    processes |= {("worker", name): list(activity.pids) for name, activity in activities.items()}
    return Gauges(
        __version__,
        tuple(map(str, ExecutorState)),
        (*models, *failed),
        await _runs(trainer),
        {role: sum(map(_resident_bytes, pids)) for role, pids in processes.items() if pids},
        len(http) or 1,
    )


def page(counts: Counts, gauges: Gauges, accept: str) -> tuple[bytes, str]:
    """The page of metrics in the format that an ``Accept`` asks for, and its content type."""
    from deepaas_core.telemetry.prometheus import render  # its library costs 50 ms that no start should wait for

    return render(counts, gauges, accept)


async def _runs(trainer: Trainer) -> Mapping[str, int]:
    counted: Counter[str] = Counter(dict.fromkeys(map(str, RunState), 0))
    try:
        counted.update({str(state): number for state, number in (await trainer.count()).items()})
    except StoreUnavailable:
        return {}
    return counted


def _resident_bytes(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0
