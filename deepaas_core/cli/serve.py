"""``deepaas-core serve``: run the server and say where to click."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from rich.markup import escape

from deepaas_core import app
from deepaas_core.cli.terminal import Terminal
from deepaas_core.domain.model import Problem
from deepaas_core.errors import SettingsError
from deepaas_core.executors.base import ExecutorState
from deepaas_core.serving.catalog import Entry
from deepaas_core.settings import Log, Settings
from deepaas_core.telemetry import logs


def serve(settings: Settings) -> int:
    """Serve until a signal ends it."""
    open_log(settings.log)
    return app.serve(settings, on_ready=announce)


def open_log(settings: Log) -> None:
    """Begin to write the log.

    Raises:
        SettingsError: Its file cannot be written.
    """
    try:
        logs.configure(settings.level, settings.format, settings.file)
    except OSError as error:
        raise SettingsError(f"log.file: {settings.file} cannot be written: {error.strerror}.") from error


def announce(url: str, entries: Sequence[Entry], problems: Sequence[Problem]) -> None:
    """Print what is served and where; whether anybody reads it makes no difference to the server."""
    with suppress(BrokenPipeError):
        _announce(url, entries, problems)


def _announce(url: str, entries: Sequence[Entry], problems: Sequence[Problem]) -> None:
    console = Terminal(highlight=False, soft_wrap=True)
    console.print()
    for entry in entries:
        if entry.state is ExecutorState.READY and entry.model is not None:
            about = f"{entry.name} {entry.model.version}"
            console.print(f"  [green]✓[/] {escape(about)}  [dim]{escape(_hooks(entry) + _environment(entry))}[/]")
        else:
            console.print(f"  [red]✗[/] {escape(entry.name)}  {escape(entry.reason)}")
    for problem in problems:
        console.print(f"  [red]✗[/] {escape(problem.name)}  {escape(problem.reason)}")
    if not entries and not problems:
        console.print("  No model is installed. Try: pip install examples/demo_model", markup=False)
    console.print()
    console.print(f"  Models   [bold]{url}[/]")
    console.print(f"  Swagger  [bold]{url}docs[/]")
    console.print("  Ctrl-C ends the server.", style="dim")
    console.print()


def _hooks(entry: Entry) -> str:
    assert entry.model is not None
    offered = [name for name in sorted(entry.model.capabilities) if not name.startswith(("get_", "warm"))]
    return " · ".join(offered) or "no functions"


def _environment(entry: Entry) -> str:
    """Where a model runs, if not in the server's own environment."""
    environment, model = entry.source.environment, entry.model
    return f"  Python {model.python} in {environment.name}" if environment and model else ""
