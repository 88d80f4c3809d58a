"""``deepaas-core models`` and ``check``: look at installed models without a server."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from deepaas_core import app
from deepaas_core.cli.exits import Exit
from deepaas_core.cli.terminal import Terminal
from deepaas_core.domain.arguments import Argument
from deepaas_core.domain.model import Capability, Model, Problem, Source
from deepaas_core.errors import PluginError
from deepaas_core.plugins.discovery import Discovery
from deepaas_core.settings import Settings
from deepaas_core.telemetry import logs

ROUTES = {
    Capability.TRAIN: "train",
    Capability.PREDICT: "predict",
    Capability.PREDICT_DATA: "predict/data",
    Capability.PREDICT_FILE: "predict/file",
    Capability.PREDICT_URL: "predict/url",
}


def models(settings: Settings, as_json: bool) -> int:
    """List what is installed, from the packages' metadata alone."""
    found = app.found_by(settings)
    if as_json:
        print(json.dumps([_listed(source) for source in found.sources] + [_refused(p) for p in found.problems]))
        return _code(found)
    console = Terminal()
    if not found.sources and not found.problems:
        console.print("No model is installed. A package offers one by an entry point of the group deepaas.model.")
        return _code(found)
    if found.sources:
        console.print(_table(found.sources))
    for problem in found.problems:
        _print(console, _refused(problem))
    return _code(found)


def _table(sources: Sequence[Source]) -> Table:
    environments = any(source.environment for source in sources)
    table = Table("model", "package", "version", "entry point", *(["environment"] if environments else []), "")
    for source in sources:
        environment = source.environment
        where = f"{environment.name} (Python {environment.python})" if environment else ""
        shown = (where,) if environments else ()
        cells = (source.name, source.distribution, source.version, source.target, *shown, source.summary)
        table.add_row(*map(escape, cells))
    return table


def check(settings: Settings, name: str | None, as_json: bool) -> int:
    """Start each model once and show what a client will see of it; 1 if anything is wrong.

    The log, on standard error, has the traceback of a model that cannot be started.
    """
    logs.configure("warning", settings.log.format)
    found = app.found_by(settings, (name,) if name else ())
    seen = asyncio.run(_describe(found.sources, settings))
    reports = [_report(source, outcome) for source, outcome in zip(found.sources, seen, strict=True)]
    reports += [_refused(problem) for problem in found.problems]
    if as_json:
        print(json.dumps(reports))
    else:
        console = Terminal()
        for report in reports:
            _print(console, report)
        if not reports:
            console.print("No model is installed.")
    return Exit.FAILED if any(report["problems"] for report in reports) else Exit.OK


async def _describe(sources: Sequence[Source], settings: Settings) -> list[Model | PluginError]:
    async def one(source: Source) -> Model | PluginError:
        try:
            return await app.describe(source, settings)
        except PluginError as error:
            return error

    return list(await asyncio.gather(*(one(source) for source in sources)))


def _code(found: Discovery) -> int:
    return Exit.FAILED if found.problems else Exit.OK


def _listed(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "distribution": source.distribution,
        "version": source.version,
        "target": source.target,
        "summary": source.summary,
        "environment": _environment(source),
        "problems": [],
    }


def _environment(source: Source) -> dict[str, Any]:
    """In which environment and by which interpreter a model runs; the server's own has no name."""
    environment = source.environment
    if environment is None:
        return {"name": None, "interpreter": sys.executable, "python": platform.python_version()}
    return {"name": environment.name, "interpreter": environment.interpreter, "python": environment.python}


def _refused(problem: Problem) -> dict[str, Any]:
    return {"name": problem.name, "distribution": problem.distribution, "problems": [problem.reason]}


def _report(source: Source, outcome: Model | PluginError) -> dict[str, Any]:
    report = _listed(source)
    if isinstance(outcome, PluginError):
        return {**report, "problems": [str(outcome)]}
    routes = []
    for capability, path in ROUTES.items():
        offered = capability in outcome.capabilities
        routes.append(
            {
                "route": f"POST /api/v1/models/{source.name}/{path}",
                "function": capability.function,
                "status": ("202" if capability is Capability.TRAIN else "200") if offered else "501",
                "arguments": [_argument(argument) for argument in outcome.arguments.get(capability, {}).values()],
            }
        )
    return {
        **report,
        "version": outcome.version,
        "environment": {**_environment(source), "python": outcome.python},
        "capabilities": sorted(outcome.capabilities),
        "routes": routes,
        "warnings": [*outcome.warnings, *_missing(outcome)],
    }


def _missing(model: Model) -> list[str]:
    if model.capabilities & ROUTES.keys():
        return []
    return [f"It has none of the functions that can be called; see that {model.source.target} is what is meant."]


def _argument(argument: Argument) -> dict[str, Any]:
    document: dict[str, Any] = {"name": argument.key, "type": str(argument.kind), "required": argument.required}
    if argument.has_default and not argument.secret:
        document["default"] = argument.default
    limits = {
        "choices": list(argument.choices),
        "minimum": argument.minimum,
        "maximum": argument.maximum,
        "help": argument.help,
    }
    return document | {name: value for name, value in limits.items() if value not in (None, [], "")}


def _print(console: Terminal, report: dict[str, Any]) -> None:
    mark = "[red]✗[/]" if report["problems"] else "[green]✓[/]"
    origin = report.get("version") or f"({report['distribution']})"
    console.print(f"{mark} [bold]{escape(report['name'])}[/] {escape(origin)}", highlight=False)
    environment = report.get("environment", {})
    if environment.get("name"):
        told = f"Python {environment['python']} of {environment['name']}: {environment['interpreter']}"
        console.print(f"  [dim]{escape(told)}[/]", soft_wrap=True, highlight=False)
    for problem in report["problems"]:
        console.print(f"  [red]problem[/]  {escape(problem)}", soft_wrap=True, highlight=False)
    for warning in report.get("warnings", ()):
        console.print(f"  [yellow]warning[/]  {escape(warning)}", soft_wrap=True, highlight=False)
    if "routes" not in report:
        return
    table = Table("POST …", "", "function", "arguments", box=None, padding=(0, 2))
    for route in report["routes"]:
        colour = "red" if route["status"] == "501" else "green"
        shown = "\n".join(_shown(argument) for argument in route["arguments"]) if route["status"] != "501" else ""
        table.add_row(
            escape(route["route"].partition(f"/models/{report['name']}")[2]),
            f"[{colour}]{route['status']}[/]",
            escape(route["function"]),
            escape(shown),
        )
    console.print(table)


def _shown(argument: dict[str, Any]) -> str:
    text = f"{argument['name']}: {argument['type']}"
    if "choices" in argument:
        text += " of " + ", ".join(map(str, argument["choices"]))
    if "minimum" in argument or "maximum" in argument:
        text += f" {argument.get('minimum', '')}…{argument.get('maximum', '')}"
    if argument["required"]:
        return text + " (required)"
    return text + (f" = {json.dumps(argument['default'])}" if "default" in argument else "")
