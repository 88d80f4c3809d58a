"""Records in memory: for tests, and for servers that are to leave nothing behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from deepaas_core.domain.training import Run, RunState
from deepaas_core.errors import Conflict, RunNotFound
from deepaas_core.stores.base import LONG_RESULT_CHARS


class MemoryRunStore:
    """Keeps training runs as long as the process lives."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    async def add(self, run: Run) -> None:
        if run.id in self._runs:
            raise Conflict(f"There is a training run {run.id} already.")
        self._runs[run.id] = run

    async def get(self, run_id: str) -> Run:
        try:
            return self._runs[run_id]
        except KeyError:
            raise RunNotFound(run_id) from None

    async def list(
        self,
        *,
        model: str | None = None,
        states: Collection[RunState] = (),
        limit: int | None = None,
        before: str | None = None,
    ) -> Sequence[Run]:
        ids = list(self._runs)
        if before is not None:
            ids = ids[: ids.index(before)] if before in self._runs else []
        found = (
            run
            for run in map(self._runs.__getitem__, reversed(ids))
            if (model is None or run.model == model) and (not states or run.state in states)
        )
        return [_in_a_list(run) for run in islice(found, limit)]

    async def queue(self, limit: int) -> Sequence[Run]:
        return list(islice((run for run in self._runs.values() if run.state is RunState.QUEUED), limit))

    async def count(self) -> Mapping[RunState, int]:
        return Counter(run.state for run in self._runs.values())

    async def replace(self, old: Run, new: Run) -> bool:
        now = self._runs.get(old.id)
        if now is None or (now.state, now.process) != (old.state, old.process):
            return False
        self._runs[old.id] = new
        return True

    async def close(self) -> None:
        pass


def _in_a_list(run: Run) -> Run:
    if run.error is not None:
        run = replace(run, error=replace(run.error, traceback=""))
    if run.result is not None and len(json.dumps(run.result)) > LONG_RESULT_CHARS:
        run = replace(run, result=None)
    return run
