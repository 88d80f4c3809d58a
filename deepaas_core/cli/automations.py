"""``deepaas-core automations`` and ``automate``: what services of a running server do by themselves."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from rich.markup import escape
from rich.table import Table

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.server import Server, in_path, talk
from deepaas_core.cli.terminal import Terminal, harmless

LOOK_EVERY_S = 0.5
_MARKS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "running": "…", "waiting": "·", "left_out": "·"}


def automations(given: argparse.Namespace) -> int:
    """List the automations of a service, and what they did last."""

    async def ask(server: Server) -> int:
        listed = await server.ask("GET", f"/services/{in_path(given.service)}/automations")
        if given.json:
            print(json.dumps(listed))
        elif not listed["automations"]:
            print(f"What is live of {given.service} does nothing by itself.")
        else:
            _print(listed["automations"])
        return Exit.OK

    return talk(given, ask)


def automate(given: argparse.Namespace) -> int:
    """Do an automation now, and wait for its end."""

    async def ask(server: Server) -> int:
        path = f"/services/{in_path(given.service)}"
        execution = await server.ask("POST", f"{path}/automations/{in_path(given.automation)}/run")
        said: dict[str, str] = {}
        while True:
            if not given.json:
                _tell(execution, said)
            if given.no_wait or execution["state"] != "running":
                break
            await asyncio.sleep(LOOK_EVERY_S)
            execution = await server.ask("GET", f"{path}/executions/{execution['id']}")
        if given.json:
            print(json.dumps(execution))
        return Exit.FAILED if execution["state"] == "failed" else Exit.OK

    return talk(given, ask)


def _tell(execution: dict[str, Any], said: dict[str, str]) -> None:
    """Print the steps that are over and have not been told."""
    for step in execution["steps"]:
        name, state = step["name"], step["state"]
        if state in ("done", "failed") and said.get(name) != state:
            said[name] = state
            Terminal().print(
                f"{_MARKS[state]} {name:8} {escape(harmless(step['text']))}", highlight=False, soft_wrap=True
            )


def _print(listed: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("automation", "next", "last", "what came of it"):
        table.add_column(heading)
    for one in listed:
        last = one["last"]
        steps = last["steps"] if last else ()
        table.add_row(
            escape(one["name"]),
            escape(_next(one)),
            last["created_at"][:16].replace("T", " ") if last else "never",
            "  ".join(f"{_MARKS[step['state']]} {step['name']}" for step in steps),
        )
    Terminal().print(table)
    for one in listed:
        for step in one["last"]["steps"] if one["last"] else ():
            if step["state"] == "failed":
                print(f"{one['name']}, {step['name']}: {harmless(step['text'])}")


def _next(automation: dict[str, Any]) -> str:
    if automation["next_at"]:
        return str(automation["next_at"])[:16].replace("T", " ")
    return f"after runs of {automation['after_run_of']}" if automation["after_run_of"] else "when asked"
