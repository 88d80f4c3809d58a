"""``python -m benchmarks``: see README.md."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks import record, report
from benchmarks.environments import HERE
from benchmarks.servers import LOAD_CORE, share_niceness
from benchmarks.targets import BARE, CASES, Target, chosen
from benchmarks.works import WORKS, Options

FIGURES = HERE / "figures.json"


def main() -> None:
    """Prepare, measure, report."""
    options = parse()
    records = record.load(FIGURES) if options.write else {}
    if not options.again:
        os.sched_setaffinity(0, {LOAD_CORE})
        share_niceness(os.getpid())
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended, as on Ctrl-C
        targets = prepare(chosen(options.only))
        settings = Options(options.rounds, options.seconds, tuple(options.connections), tell)
        command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
        for work in options.work or WORKS:
            tell(f"== {work}")
            records[work] = record.collect(WORKS[work](targets, settings), targets, settings, command)
            if options.write:
                record.save(FIGURES, records)
    if options.write:
        report.write(options.write, report.page(records))
    else:
        print(report.page(records))


def parse() -> argparse.Namespace:
    """The command line."""

    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure deepaas_core and its peers.")
    parser.add_argument("--only", type=names, default=[], metavar="TARGETS", help="separated by commas; bare joins in")
    parser.add_argument("--work", type=names, default=[], metavar="WORKS", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every target (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: %(default)s)")
    parser.add_argument(
        "--connections", type=lambda text: [int(n) for n in names(text)], default=[1, 8, 64], help="for W1 and W2"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="keep the figures; put all tables into this page")
    parser.add_argument("--again", action="store_true", help="measure nothing: show what was kept")
    options = parser.parse_args()
    if unknown := set(options.work) - set(WORKS):
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    if options.again and not options.write:
        parser.error("--again needs --write FILE")
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
    maker, made = HERE / "cases.py", CASES / "made-by.py"
    if not made.exists() or made.read_bytes() != maker.read_bytes():
        CASES.mkdir(parents=True, exist_ok=True)
        subprocess.run([BARE.program("python"), str(maker), str(CASES)], check=True)
        shutil.copy(maker, made)
    return ready


def tell(what: str) -> None:
    """Show progress, apart from the report."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
