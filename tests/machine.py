"""A machine for training runs on which nothing runs: processes begin and end as a test wants it."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deepaas_core.domain.training import Ending, Process, RunError, RunState
from deepaas_core.executors.reports import Reports


@dataclass
class Machine:
    """A machine whose processes end when the test says so. It outlives the trainers that use it."""

    root: Path
    jobs: dict = field(default_factory=dict)
    living: dict = field(default_factory=dict)
    endings: dict = field(default_factory=dict)
    started: list = field(default_factory=list)
    killed: list = field(default_factory=list)
    uploads: dict = field(default_factory=dict)
    resumed: dict = field(default_factory=dict)
    logs: dict = field(default_factory=dict)
    forgotten: list = field(default_factory=list)
    pulses: dict = field(default_factory=dict)
    broken: bool = False

    def __post_init__(self):
        self.reports = Reports(self.root / "told")

    def tell(self, run_id, event, **values):
        """What the model would say by ``run.report`` and its like."""
        folder = self.root / "told" / run_id
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        with (folder / "events.ndjson").open("a") as file:
            file.write(json.dumps({"at": 1714566615.5, "event": event, "values": values}) + "\n")

    def model_dir(self, run_id):
        return self.root / run_id

    async def inputs(self, run_id):
        return self.uploads.get(run_id, {})

    def pulse(self, run_id):
        return self.pulses.get(run_id)

    async def unbegun(self):
        return dict.fromkeys(self.jobs, datetime.min.replace(tzinfo=UTC))

    def left_word(self, run_id):
        return run_id in self.endings

    async def forget_log(self, run_id):
        self.logs.pop(run_id, None)

    async def forget_artifacts(self, run_id):
        self.forgotten.append(run_id)

    async def prepare(self, run, source, values, uploads, resume=None):
        if self.broken:
            raise OSError(28, "No space left on device")
        self.jobs[run.id] = values
        self.uploads[run.id] = {key: values[key] for key in uploads}
        self.resumed[run.id] = resume
        self.model_dir(run.id).mkdir()

    async def discard(self, run_id):
        self.jobs.pop(run_id, None)
        shutil.rmtree(self.model_dir(run_id), ignore_errors=True)

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
        log = self.logs.get(run_id, b"0123456789")
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
