"""A machine for training runs on which nothing runs: processes begin and end as a test wants it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from deepaas_core.domain.training import Ending, Process, RunError, RunState


@dataclass
class Machine:
    """A machine whose processes end when the test says so. It outlives the trainers that use it."""

    root: Path
    jobs: dict = field(default_factory=dict)
    living: dict = field(default_factory=dict)
    endings: dict = field(default_factory=dict)
    started: list = field(default_factory=list)
    killed: list = field(default_factory=list)
    broken: bool = False

    def model_dir(self, run_id):
        return self.root / run_id

    async def prepare(self, run, source, values, uploads):
        if self.broken:
            raise OSError(28, "No space left on device")
        self.jobs[run.id] = values
        self.model_dir(run.id).mkdir()

    async def discard(self, run_id):
        self.jobs.pop(run_id, None)

    def withdraw(self, run_id):
        self.jobs.pop(run_id, None)

    def waits(self, run_id):
        return run_id in self.jobs

    async def start(self, run_id):
        if self.broken:
            raise OSError(12, "Cannot allocate memory")
        self.jobs.pop(run_id)
        self.started.append(run_id)
        self.living[run_id] = asyncio.Event()
        return Process(len(self.started), run_id)

    def alive(self, process):
        return process.started in self.living

    async def find(self, run_id):
        return Process(self.started.index(run_id) + 1, run_id) if run_id in self.living else None

    async def wait(self, process):
        if process.started in self.living:
            await self.living[process.started].wait()

    async def ending(self, run_id, code):
        return self.endings.get(run_id, Ending(RunState.INTERRUPTED, error=RunError("lost", "")))

    async def kill(self, run_id, process):
        self.killed.append(run_id)
        self.end(run_id)

    async def sweep(self, run_id):
        self.end(run_id)

    async def strays(self):
        return set(self.living)

    async def read_log(self, run_id, offset, limit):
        log = b"0123456789"
        start = max(0, len(log) - limit) if offset is None else min(offset, len(log))
        return log[start : start + limit], start, len(log)

    def end(self, run_id, ending=None):
        if ending is not None:
            self.endings[run_id] = ending
        if run_id in self.living:
            self.living.pop(run_id).set()

    async def begun(self, run_id):
        async with asyncio.timeout(10):
            while run_id not in self.living:
                await asyncio.sleep(0.001)
