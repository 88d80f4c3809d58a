"""``python -m benchmarks``: see README.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.environments import FOLDER
from benchmarks.servers import LOAD_CORE
from benchmarks.targets import BARE, CASES, Target, chosen
from benchmarks.works import WORKS, Figure, Options


def main() -> None:
    """Prepare, measure, report."""
    options = parse()
    os.sched_setaffinity(0, {LOAD_CORE})
    targets = prepare(chosen(options.only))
    settings = Options(options.rounds, options.seconds, tuple(options.connections), tell)
    figures: list[Figure] = []
    FOLDER.mkdir(exist_ok=True)
    try:
        for work in options.work or WORKS:
            for figure in WORKS[work](targets, settings):
                figures.append(figure)
    finally:
        (FOLDER / "figures.json").write_text(json.dumps([dataclasses.asdict(figure) for figure in figures], indent=1))
        page = report.page(figures, targets, "python -m benchmarks " + " ".join(sys.argv[1:]))
        print(page)
    if options.write:
        report.write(options.write, page)


def parse() -> argparse.Namespace:
    """The command line."""

    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure deepaas_core and its peers.")
    parser.add_argument("--only", type=names, default=[], metavar="TARGETS", help="separated by commas")
    parser.add_argument("--work", type=names, default=[], metavar="WORKS", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn")
    parser.add_argument(
        "--connections", type=lambda text: [int(n) for n in names(text)], default=[1, 8, 64], help="for W1 and W2"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is to be replaced")
    options = parser.parse_args()
    if unknown := set(options.work) - set(WORKS):
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    return options


def prepare(targets: list[Target]) -> list[Target]:
    """Make all environments and the bodies; leaves out whoever cannot be installed."""
    ready = []
    for target in targets:
        try:
            target.environment.prepare()
        except subprocess.CalledProcessError as failure:
            tell(f"{target.name} cannot be installed: {failure.stderr.strip()[-400:]}")
        else:
            ready.append(target)
    if not (CASES / "expected.json").exists():
        CASES.mkdir(parents=True, exist_ok=True)
        subprocess.run([BARE.program("python"), str(Path(__file__).with_name("cases.py")), str(CASES)], check=True)
    return ready


def tell(what: str) -> None:
    """Show progress, apart from the report."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
