"""``deepaas-core publish``, ``deploy`` and what else there is to do with services of a running server."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import math
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from rich.markup import escape
from rich.table import Table

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.server import Refused, Server, call_arguments, in_path, talk, value
from deepaas_core.cli.showing import duration
from deepaas_core.cli.terminal import Terminal, harmless, harmless_log
from deepaas_core.domain.deployment import percent, shown_shares
from deepaas_core.errors import SettingsError
from deepaas_core.publishing import archive

if TYPE_CHECKING:
    from deepaas_core.app import Tried
    from deepaas_core.domain.rehearsal import Outcome

LOOK_EVERY_S = 0.2
_SCRIPTS = (".py", ".R", ".r")


# Publishing and deploying.


def publish(given: argparse.Namespace) -> int:
    """Publish a folder."""
    folder = Path(given.folder or ".")
    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}.")
    name = given.name or _named(folder)

    async def ask(server: Server) -> int:
        generation = await _publish(server, folder, name, given, given.version, given.unique)
        if given.build:
            _say(given, f"Building what generation {generation['version']} of {name} needs …")
            await server.ask("POST", f"{_path(name)}/generations/{in_path(generation['version'])}/build")
        if given.json:
            print(json.dumps(generation))
        else:
            print(f"Published generation {generation['version']} of {name}: {generation['digest'][:12]}")
            print(f"Make it live:  deepaas-core deploy {name} {generation['version']}")
        return Exit.OK

    return talk(given, ask)


def deploy(given: argparse.Namespace) -> int:
    """Make a generation live; a folder or a function is published first."""
    with ExitStack() as stack:
        folder = _draft(given, stack)
        if given.dry_run:
            return _try_out(given, folder)
        if folder is not None and given.version is not None:
            raise SettingsError("A version is only given for a service that is published already.")
        name = given.what if folder is None else given.name or _named(folder)

        async def ask(server: Server) -> int:
            version = given.version
            if folder is not None:
                generation = await _publish(server, folder, name, given)
                version = generation["version"]
                _say(given, f"Published generation {version} of {name}.")
            elif version is None:
                with _or_folder("deploy", name):
                    generations = (await server.ask("GET", f"{_path(name)}/generations"))["generations"]
                version = generations[-1]["version"] if generations else ""
            body = {"version": version}
            rollout = await server.ask("PUT", f"{_path(name)}/deployment", json=body)
            return await _finish(server, rollout, given)

        return talk(given, ask)


def split(given: argparse.Namespace) -> int:
    """Share the traffic between generations."""
    shares = dict(_share(text) for text in given.shares)
    if len(shares) < len(given.shares):
        raise SettingsError("Each generation is given one share.")

    async def ask(server: Server) -> int:
        body = {"shares": shares}
        return await _finish(server, await server.ask("PUT", f"{_path(given.service)}/deployment", json=body), given)

    return talk(given, ask)


def rollback(given: argparse.Namespace) -> int:
    """Go back to what was live before."""

    async def ask(server: Server) -> int:
        return await _finish(server, await server.ask("POST", f"{_path(given.service)}/rollback"), given)

    return talk(given, ask)


def enable(given: argparse.Namespace) -> int:
    """Let a service answer."""
    return _act(given, "POST", "/enable", "answers again.")


def disable(given: argparse.Namespace) -> int:
    """Let a service answer no more."""
    return _act(given, "POST", "/disable", "does not answer any more.")


def delete(given: argparse.Namespace) -> int:
    """Delete a generation, or a service."""
    path = f"/generations/{in_path(given.version)}" if given.version else ""

    async def ask(server: Server) -> int:
        await server.ask_for_any("DELETE", _path(given.service) + path)
        _say(given, f"Deleted {given.service}{f' {given.version}' if given.version else ''}.")
        return Exit.OK

    return talk(given, ask)


def copy(given: argparse.Namespace) -> int:
    """Publish and deploy a generation on another server."""
    body = {"infrastructure": given.infrastructure} | ({"version": given.version} if given.version else {})

    async def ask(server: Server) -> int:
        copied = await server.ask("POST", f"{_path(given.service)}/copy", json=body)
        if given.json:
            print(json.dumps(copied))
        else:
            print(f"{copied['deployment']}: generation {copied['generation']} is live at {copied['url']}")
        return Exit.OK

    return talk(given, ask)


# Looking.


def services(given: argparse.Namespace) -> int:
    """List the services, or look at one."""

    async def ask(server: Server) -> int:
        if given.service:
            found = [await server.ask("GET", _path(given.service))]
        else:
            found = (await server.ask("GET", "/services"))["services"]
        if given.json:
            print(json.dumps(found[0] if given.service else {"services": found}))
        elif not found:
            print("There is none yet: deepaas-core deploy ./script.py:function --name NAME")
        else:
            rows = [
                (one["name"], shown_shares(one["shares"]) if one["enabled"] else "disabled", _names(one["endpoints"]))
                for one in found
            ]
            _print_table(("service", "live", "endpoints"), rows)
        return Exit.OK

    return talk(given, ask)


def generations(given: argparse.Namespace) -> int:
    """List the generations of a service."""

    async def ask(server: Server) -> int:
        listed = await server.ask("GET", f"{_path(given.service)}/generations")
        if given.json:
            print(json.dumps(listed))
            return Exit.OK
        rows = [
            (
                one["version"],
                percent(one["share"]) if one["share"] else "-",
                one["state"],
                one["created_at"][:19].replace("T", " "),
                one["digest"][:12],
                one["notes"].partition("\n")[0],
            )
            for one in listed["generations"]
        ]
        _print_table(("generation", "share", "state", "published (UTC)", "digest", "notes"), rows)
        return Exit.OK

    return talk(given, ask)


def generations_log(given: argparse.Namespace) -> int:
    """Print how a generation was built."""

    async def ask(server: Server) -> int:
        log = await server.ask_for_any("GET", f"{_path(given.service)}/generations/{in_path(given.version)}/log")
        assert isinstance(log, bytes)
        text = log.decode("utf-8", "replace")
        if given.json:
            print(json.dumps({"log": text}))
        else:
            print(harmless_log(text) if text else "Nothing had to be built on this server.")
        return Exit.OK

    return talk(given, ask)


def diff(given: argparse.Namespace) -> int:
    """Compare the files of generations."""
    params = {"with": given.other} if given.other else {}

    async def ask(server: Server) -> int:
        path = f"{_path(given.service)}/generations/{in_path(given.version)}/diff"
        found = await server.ask("GET", path, params=params)
        if given.json:
            print(json.dumps(found))
            return Exit.OK
        print(f"{given.service} {found['generation']} has, beside {found['with']}:")
        for sign, what in (("+", "added"), ("-", "removed"), ("~", "changed")):
            for name in found[what]:
                print(f"  {sign} {harmless(name)}")
        if not any(found[what] for what in ("added", "removed", "changed")):
            print("  the same files")
        return Exit.OK

    return talk(given, ask)


def download(given: argparse.Namespace) -> int:
    """Save the archive of a generation."""
    target = Path(given.to or f"{given.service}-{given.version}.zip")

    async def ask(server: Server) -> int:
        await server.save(f"{_path(given.service)}/generations/{in_path(given.version)}/archive", target)
        _say(given, f"{target}  {target.stat().st_size} bytes")
        return Exit.OK

    return talk(given, ask)


def infrastructures(given: argparse.Namespace) -> int:
    """List the servers to which generations can be copied."""

    async def ask(server: Server) -> int:
        listed = await server.ask("GET", "/infrastructures")
        if given.json:
            print(json.dumps(listed))
        elif not listed["infrastructures"]:
            print("The server's settings name none; one is a table [infrastructure.NAME] with a url.")
        else:
            rows = [(one["name"], one["stage"], one["url"]) for one in listed["infrastructures"]]
            _print_table(("infrastructure", "stage", "address"), rows)
        return Exit.OK

    return talk(given, ask)


# Testing.


def test(given: argparse.Namespace) -> int:
    """Ask test queries."""
    if _is_folder(given.what):
        tried = _tried(Path(given.what))
        return _judge(given, "draft", [_plain(outcome) for outcome in tried.outcomes])
    of = f"/generations/{in_path(given.version)}" if given.version else ""

    async def ask(server: Server) -> int:
        with _or_folder("test", given.what):
            found = await server.ask("POST", f"{_path(given.what)}{of}/test")
        return _judge(given, found["generation"], found["outcomes"])

    return talk(given, ask)


def test_add(given: argparse.Namespace) -> int:
    """Store test queries with a service."""
    query: dict[str, Any] = {"endpoint": given.endpoint, "name": given.title, **_content(given)}
    if given.tolerance is not None:
        query["tolerance"] = given.tolerance

    async def ask(server: Server) -> int:
        endpoints = {one["name"]: one for one in (await server.ask("GET", _path(given.service)))["endpoints"]}
        if "arguments" in query and endpoints.get(given.endpoint, {}).get("kind") in ("prediction", "lookup"):
            query["rows"] = [query.pop("arguments")]  # one row
        if given.expect:
            found = await server.ask("POST", f"{_path(given.service)}/test", json={"queries": [query]})
            outcome = found["outcomes"][0]
            if not outcome["passed"]:
                print(f"deepaas-core: {harmless(outcome['problem'])}", file=sys.stderr)
                return Exit.FAILED
            query["expected"] = outcome["answer"]
        stored = await server.ask("POST", f"{_path(given.service)}/queries", json={"queries": [query]})
        _say_how_many(given, stored)
        return Exit.OK

    return talk(given, ask)


def test_list(given: argparse.Namespace) -> int:
    """List the test queries that are stored with a service."""

    async def ask(server: Server) -> int:
        stored = await server.ask("GET", f"{_path(given.service)}/queries")
        if given.json:
            print(json.dumps(stored))
        else:
            rows = [
                (
                    str(number),
                    each["endpoint"],
                    each["name"],
                    _count(each["rows"], "row") if each["rows"] is not None else json.dumps(each["arguments"]),
                    "any answer" if each["expected"] is None else "an answer",
                )
                for number, each in enumerate(stored["queries"], 1)
            ]
            _print_table(("number", "endpoint", "name", "asks", "expects"), rows)
        return Exit.OK

    return talk(given, ask)


def test_remove(given: argparse.Namespace) -> int:
    """Forget test queries that are stored with a service."""
    path = f"{_path(given.service)}/queries"

    async def ask(server: Server) -> int:
        queries = (await server.ask("GET", path))["queries"]
        numbers = set(map(str, range(1, len(queries) + 1)))
        unknown = [number for number in given.numbers if number not in numbers]
        if unknown:
            raise SettingsError(f"There is no test query {unknown[0]!r}; deepaas-core test list {given.service}")
        left = [each for number, each in enumerate(queries, 1) if str(number) not in given.numbers]
        stored = await server.ask("PUT", path, json={"queries": left})
        _say_how_many(given, stored)
        return Exit.OK

    return talk(given, ask)


def _say_how_many(given: argparse.Namespace, stored: Mapping[str, Any]) -> None:
    if given.json:
        print(json.dumps(stored))
    else:
        print(f"{given.service} has {_count(stored['queries'], 'test query', 'test queries')} of its own.")


def _content(given: argparse.Namespace) -> dict[str, Any]:
    if (given.file is None) == (given.data is None):
        raise SettingsError("Say what to ask: --from FILE, or --data JSON.")
    if given.file is not None:
        return {"rows": _rows(Path(given.file), given.rows)}
    data = value(given.data)
    if isinstance(data, dict):
        return {"arguments": data}
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return {"rows": data}
    raise SettingsError("--data must be a list of rows, or an object of arguments, in JSON.")


def _rows(path: Path, number: int) -> list[dict[str, Any]]:
    """The first rows of a file: CSV, where numbers are numbers and empty cells are not there, or JSON lines."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix in (".json", ".jsonl", ".ndjson"):
                return [json.loads(line) for line, _ in zip(file, range(number), strict=False)]
            beginning = file.read(4096)
            file.seek(0)
            separator = (
                ";" if beginning.partition("\n")[0].count(";") > beginning.partition("\n")[0].count(",") else ","
            )
            found = zip(csv.DictReader(file, delimiter=separator), range(number), strict=False)
            return [{key: value(text) for key, text in row.items() if key and text} for row, _ in found]
    except (OSError, ValueError, csv.Error) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _judge(given: argparse.Namespace, version: str, outcomes: Sequence[Mapping[str, Any]]) -> int:
    failed = [one for one in outcomes if not one["passed"]]
    if given.json:
        print(json.dumps({"generation": version, "outcomes": outcomes}))
    else:
        terminal = Terminal(highlight=False, soft_wrap=True)
        for one in outcomes:
            sign = "[green]✓[/]" if one["passed"] else "[red]✗[/]"
            told = duration(one["duration_s"]) if one["passed"] else one["problem"]
            about = " ".join(filter(None, (one["endpoint"], one["name"])))
            terminal.print(f"{sign} {escape(harmless(about))}  [dim]{escape(harmless(told))}[/]")
        count = f"{len(outcomes) - len(failed)} of {len(outcomes)} test queries passed"
        print(f"{count} (generation {version})." if outcomes else f"There are no test queries (generation {version}).")
    return Exit.FAILED if failed else Exit.OK


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "endpoint": outcome.endpoint,
        "name": outcome.name,
        "passed": outcome.passed,
        "problem": outcome.problem,
        "answer": outcome.answer,
        "duration_s": outcome.duration_s,
    }


# How they do it. What only some of them need is loaded where they do: most only talk to a server.


def _named(folder: Path) -> str:
    """The name of a folder's service."""
    from deepaas_core.publishing import definition

    return definition.read(folder).name


def _tried(folder: Path, arguments: Mapping[str, Any] | None = None) -> Tried:
    from deepaas_core import app
    from deepaas_core.settings import Settings

    return asyncio.run(app.try_out(Settings.load(environ=os.environ), folder, arguments))


def _draft(given: argparse.Namespace, stack: ExitStack) -> Path | None:
    """The folder that is to be published first; None if it is a service that is published already."""
    script, colon, function = given.what.rpartition(":")
    if colon and Path(script).suffix in _SCRIPTS:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deepaas-core-"))) / "service"
        workers = {"count": given.workers, "timeout_s": given.timeout}
        told = {name: number for name, number in workers.items() if number is not None}
        from deepaas_core.publishing.staging import stage_script  # loads the grammar

        stage_script(Path(script).expanduser(), function, given.name or Path(script).stem, told, folder)
        return folder
    if given.workers is not None or given.timeout is not None:
        raise SettingsError("--workers and --timeout are for a function; a service.toml says so for a service.")
    if Path(given.what).suffix in _SCRIPTS:
        raise SettingsError(f"Say which function of it: deepaas-core deploy {given.what}:FUNCTION")
    return Path(given.what) if _is_folder(given.what) else None


def _is_folder(what: str) -> bool:
    """Whether a folder is meant, and not a service, which may well be called like a folder that is here."""
    if "/" not in what and what not in (".", ".."):
        return False
    if not Path(what).is_dir():
        raise SettingsError(f"There is no folder {what}.")
    return True


@contextmanager
def _or_folder(command: str, what: str) -> Iterator[None]:
    """Say how to name a folder to those who name one that is taken for a service."""
    try:
        yield
    except Refused as refused:
        if refused.status == HTTPStatus.NOT_FOUND and (Path(what) / "service.toml").exists():
            raise SettingsError(f"No service is named {what!r}. The folder: deepaas-core {command} ./{what}") from None
        raise


def _try_out(given: argparse.Namespace, folder: Path | None) -> int:
    if folder is None:
        raise SettingsError("--dry-run is for a folder or a function.")
    arguments = call_arguments(given.arg)
    tried = _tried(folder, arguments)
    outcomes = [_plain(outcome) for outcome in tried.outcomes]
    if given.json:
        print(json.dumps({"start_s": tried.start_s, "memory_bytes": tried.memory_bytes, "outcomes": outcomes}))
        return Exit.OK if all(one["passed"] for one in outcomes) else Exit.FAILED
    print(f"It is up after {duration(tried.start_s)}, and takes {tried.memory_bytes / 2**20:.0f} MiB of memory.")
    for one in outcomes:
        told = f"answers in {duration(one['duration_s'])}: {_cut(json.dumps(one['answer']))}"
        print(f"{one['endpoint']} {told if one['passed'] else one['problem']}")
    if not outcomes:
        print("Nothing was asked: it needs arguments, e.g. --arg NAME=VALUE, or test queries in a service.toml.")
    return Exit.OK if all(one["passed"] for one in outcomes) else Exit.FAILED


async def _publish(
    server: Server, folder: Path, name: str, given: argparse.Namespace, version: str = "", unique: bool = False
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="deepaas-core-") as scratch:
        packed = Path(scratch) / "archive.zip"
        try:
            archive.pack(folder, packed)
        except OSError as error:
            raise SettingsError(f"{folder} cannot be read: {error}.") from error
        said = {"version": version, "notes": given.notes, "unique": unique, "allow_apt": given.allow_apt}
        form = aiohttp.FormData(
            {key: str(value).lower() if isinstance(value, bool) else value for key, value in said.items()}
        )
        with packed.open("rb") as file:
            form.add_field("file", file, filename="archive.zip", content_type="application/zip")
            return await server.ask("POST", f"{_path(name)}/generations", data=form)


async def _finish(server: Server, rollout: dict[str, Any], given: argparse.Namespace) -> int:
    """Wait until a rollout is over, with a line that says how far it is, and say what came of it."""
    terminal, name = Terminal(highlight=False, soft_wrap=True), rollout["service"]
    waiting = terminal.status(_step(rollout)) if terminal.is_terminal and not given.json else nullcontext()
    with waiting as line:
        while rollout["state"] not in ("live", "failed") and not given.no_wait:
            await asyncio.sleep(LOOK_EVERY_S)
            rollout = await server.ask("GET", f"{_path(name)}/rollouts/{rollout['id']}")
            if line is not None:
                line.update(_step(rollout))
    if given.json:
        print(json.dumps(rollout))
    elif rollout["state"] == "failed":
        print(f"deepaas-core: {harmless(rollout['reason'])}", file=sys.stderr)
        print(f"Live as before: {shown_shares(rollout['before']) or 'nothing'}", file=sys.stderr)
    elif rollout["state"] == "live":
        print(f"{name}: {shown_shares(rollout['shares'])} {'is' if len(rollout['shares']) == 1 else 'are'} live.")
        await _print_sample(server, given, name)
    else:
        print(f"{name}: rollout {rollout['id']} goes on ({rollout['state']}).")
    return Exit.FAILED if rollout["state"] == "failed" else Exit.OK


def _step(rollout: Mapping[str, Any]) -> str:
    said = {"building": "building its environment …", "starting": "starting …", "testing": "asking its test queries …"}
    return f"{rollout['service']} {shown_shares(rollout['shares'])}: {said.get(rollout['state'], rollout['state'])}"


async def _print_sample(server: Server, given: argparse.Namespace, name: str) -> None:
    """Where the service answers, and a command to try each endpoint."""
    service = await server.ask("GET", _path(name))
    for endpoint in service["endpoints"]:
        print(f"\n  {given.server.rstrip('/')}/api/v1{_path(name)}/endpoints/{in_path(endpoint['name'])}")
        asked = {"language": "curl", "endpoint": endpoint["name"], "server": given.server.rstrip("/")}
        with suppress(Refused):  # there is none for every endpoint
            sample = await server.ask_for_any("GET", f"{_path(name)}/samples", params=asked)
            assert isinstance(sample, bytes)
            print(textwrap.indent(harmless(sample.decode("utf-8", "replace")).rstrip(), "  "))


def _act(given: argparse.Namespace, method: str, path: str, said: str) -> int:
    async def ask(server: Server) -> int:
        document = await server.ask(method, _path(given.service) + path)
        print(json.dumps(document) if given.json else f"{given.service} {said}")
        return Exit.OK

    return talk(given, ask)


def _path(service: str) -> str:
    return f"/services/{in_path(service)}"


def _share(text: str) -> tuple[str, float]:
    version, equals, number = text.rpartition("=")
    try:
        if equals and math.isfinite(float(number)):
            return version, float(number)
    except ValueError:
        pass
    raise SettingsError(f"A share is written VERSION=NUMBER, e.g. v1=0.3, not {text!r}.")


def _count(things: Sequence[Any], one: str, many: str = "") -> str:
    return f"{len(things)} {one if len(things) == 1 else many or f'{one}s'}"


def _names(things: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(thing["name"] for thing in things)


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _say(given: argparse.Namespace, text: str) -> None:
    if not given.json:
        print(text)


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    terminal = Terminal(highlight=False)
    if not terminal.is_terminal:
        for row in (titles, *rows):
            print("  ".join(harmless(cell) or "-" for cell in row))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title)
    for row in rows:
        table.add_row(*(escape(harmless(cell)) for cell in row))
    terminal.print(table)
