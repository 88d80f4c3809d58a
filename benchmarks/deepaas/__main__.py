"""Compare DEEPaaS and this server, and write the page that shows them side by side.

    python -m benchmarks.deepaas            # everything; the real DEEPaaS gets an environment of its own
    python -m benchmarks.deepaas --only 8   # the faults with that number, to the terminal
    python -m benchmarks.deepaas --record   # and write down what DEEPaaS answered, for the tests

Ends with 1 if an answer of ours is not what it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import textwrap
from pathlib import Path

from benchmarks.deepaas.answers import Compared, compare, compare_arguments
from benchmarks.deepaas.faults import ELSEWHERE, FAULTS, Fault
from benchmarks.deepaas.servers import COMMANDS, DEEPAAS, install, running, with_libraries_of_deepaas
from benchmarks.environments import PROJECT
from tests.web.deepaas_requests import ANSWERS, MODELS, record
from tests.web.test_deepaas_v2 import MODEL

PAGE = PROJECT / "docs" / "explanation" / "deepaas-side-by-side.md"


async def answers(fault: Fault, folder: Path) -> dict[str, str]:
    """What either server makes of it."""
    install(folder / "site", fault.models)
    found = {}
    for name, command in COMMANDS.items():
        async with running(command, folder / "site", folder / name, *fault.options) as server:
            found[name] = await fault.ask(server)
    return found


def section(fault: Fault, found: dict[str, str]) -> str:
    """Its part of the page."""
    blocks = [fault.shown, *(f"{name}:\n{textwrap.indent(text, '  ')}" for name, text in found.items())]
    return f"## {fault.title}\n\n" + "\n".join(f"```text\n{block}\n```" for block in blocks) + "\n"


async def same_answers(folder: Path) -> tuple[int, int]:
    """How many of the requests of the tests are answered differently, and how many there are."""
    install(folder / "site", {"all": MODEL})
    async with (
        running(COMMANDS["DEEPaaS"], folder / "site", folder / "theirs", "--model-name", "all") as theirs,
        running(COMMANDS["deepaas_core"], folder / "site", folder / "ours", "--model-name", "all") as ours,
    ):
        return await compare(theirs.url, ours.url)


async def about_arguments(folder: Path) -> Compared:
    """What becomes of the many requests about one argument each, where both have the same libraries."""
    environment = folder / "environment"
    site = with_libraries_of_deepaas(environment)
    install(site, MODELS)
    async with (
        running(COMMANDS["DEEPaaS"], site, folder / "theirs") as theirs,
        running(COMMANDS["deepaas_core"], site, folder / "ours", environment=environment) as ours,
    ):
        return await compare_arguments(theirs.url, ours.url)


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deepaas", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, metavar="NUMBER")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    only = given.only
    DEEPAAS.prepare()
    sections, wrong = [], 0
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as name:
        for place, fault in enumerate(FAULTS):
            if only not in (None, fault.number):
                continue
            found = await answers(fault, Path(name) / str(place))
            sections.append(section(fault, found))
            print(sections[-1], flush=True)
            if not re.fullmatch(fault.ours, found["deepaas_core"], re.DOTALL):
                wrong += 1
                print(f"!! {fault.title}: expected {fault.ours}\n")
        if only is None:
            differing, count = await same_answers(Path(name) / "same")
            compared = await about_arguments(Path(name) / "arguments")
            wrong += compared.wrong
            PAGE.write_text(page(sections, differing, count, compared))
            if given.record:
                ANSWERS.write_text(record(compared.theirs))
    return 1 if wrong else 0


def page(sections: list[str], differing: int, count: int, compared: Compared) -> str:
    """The whole page."""
    introduction = (
        "The same models, started by the same `deepaas-run`, and the same requests: what DEEPaaS answers, and what is "
        "answered here. Each is a place where\nDEEPaaS does not do what the model's author or the caller expected; "
        "everywhere else the [API](../reference/deepaas-api.md) is the same.\n\nThis page is made by "
        "`python -m benchmarks.deepaas`, which installs the real one in an environment of its own and fails if ours "
        f"answers differently.\nIt also sends the {count} requests of our tests to both; {count - differing} get equal "
        "answers. The others are an object in a query or a form,\n"
        "plain or nested, which DEEPaaS refuses, and a date in a result, which it cannot send; both are shown here.\n"
        f"Of {compared.count:,} small requests about one argument each, of 50 kinds, sent in every way and with the "
        f"same libraries on both sides, {compared.equal:,} get equal answers;\nthe other {compared.mended} are objects "
        "and tuples in a query or a form, and integers in JSON beyond 64 bits.\n"
    )
    head = f"# DEEPaaS {DEEPAAS.version()} and deepaas_core side by side\n"
    return "\n".join([head, introduction, *sections, "## What is not shown", "", ELSEWHERE, ""])


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
