"""Every benchmark, and one table of what they found: ``make bench``.

    python tests/benchmarks/table.py [--full] [--only broker,stream] [--peers automl=PYTHON] [--keep]

Each benchmark runs by itself, in a short form unless ``--full`` is given; all of them take half an hour, in full most
of a day. ``--keep`` keeps what was found in ``figures.json``, which the table of the README is made of. A bar that is
missed is said, and the command ends with 1. Peers that need an environment of their own run where one is named.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from figures import VARIABLE, Figure
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from machines import machine

HERE = Path(__file__).parent
KEPT = HERE / "figures.json"
README = HERE.parents[1] / "README.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


@dataclass(frozen=True)
class Bench:
    """A benchmark: what it is called in the table, how it is run in short and in full, and whether it takes peers."""

    title: str
    short: str = ""
    full: str = ""
    peers: bool = False


BENCHES = {
    "stream": Bench("Stream", peers=True),
    "house": Bench("House"),
    "serving": Bench("Serving"),
    "recovery": Bench("Recovery", "--times 1", "--times 5"),
    "scaling": Bench("Scaling"),
    "broker": Bench("Embedded broker"),
    "codec": Bench("Messages"),
    "relation": Bench("Relation", "100000", "1000000"),
    "weak": Bench("DataMagic", "--seeds 1"),
    "repairs": Bench("DataMagic", "20000"),
    "snoopy": Bench("Snoopy", "--quick"),
    "cpclean": Bench("CPClean", "--quick"),
    "cpclean_stream": Bench("CPClean", "latency"),
    "market": Bench("Market", "--quick", peers=True),
    "scheduler": Bench("AutoML", "--quick"),
    "automl": Bench("AutoML", "--sets wine,breast_cancer --splits 3 --peer-splits 3 --peer-seconds 20", peers=True),
    "ci": Bench("CI", "--quick"),
    "modelpicker": Bench("ModelPicker", "--quick --sets drift"),
    "modelpicker_stream": Bench("ModelPicker", "--quick"),
    "dashboard": Bench("Dashboard", "--minutes 0.5", "--minutes 10"),
}
"""In the order of the table. The benchmarks that are not here ask what is best, not how good or fast it is."""


@dataclass(frozen=True)
class Run:
    """What a benchmark found, when (UTC), how, and where."""

    date: str
    command: str
    machine: str
    figures: list[Figure]


def run(name: str, arguments: str) -> Run:
    """Run a benchmark.

    Raises
    ------
    SystemExit
        When it fails otherwise than by a bar that is missed.
    """
    command = f"python tests/benchmarks/bench_{name}.py {arguments.partition('--peers')[0]}".strip()
    with tempfile.NamedTemporaryFile("r") as told:
        script = [sys.executable, str(HERE / f"bench_{name}.py"), *shlex.split(arguments)]
        done = subprocess.run(script, env=os.environ | {VARIABLE: told.name}, check=False)
        figures = [Figure(**json.loads(line)) for line in told]
    if not figures or (done.returncode and all(figure.held for figure in figures)):
        raise SystemExit(f"{command} ended with {done.returncode} and {len(figures)} figures.")
    return Run(f"{datetime.now(UTC):%Y-%m-%d}", command, machine(), figures)


def kept() -> dict[str, Run]:
    """Return the figures that the README tells of."""
    if not KEPT.exists():
        return {}
    found = json.loads(KEPT.read_text())
    return {
        name: Run(**one | {"figures": [Figure(**figure) for figure in one["figures"]]}) for name, one in found.items()
    }


def keep(runs: dict[str, Run]) -> None:
    """Keep figures beside those of other benchmarks, and write the README's table anew."""
    every = kept() | runs
    ordered = {name: every[name] for name in BENCHES if name in every}
    KEPT.write_text(json.dumps({name: asdict(one) for name, one in ordered.items()}, indent=1) + "\n")
    text = README.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    README.write_text(before + BEGIN + "\n" + readme(ordered) + after)


def readme(runs: dict[str, Run]) -> str:
    """Return the table of the figures that have a bar, for the README."""
    lines = ["| | figure | measured | peer in the same run | bar |", "|---|---|---:|---|---:|"]
    last = ""
    for name, one in runs.items():
        title = BENCHES[name].title
        for figure in one.figures:
            if figure.bar:
                missed = "" if figure.held else " (missed)"
                first = "" if title == last else title
                lines.append(f"| {first} | {figure.what} | {figure.measured}{missed} | {figure.peer} | {figure.bar} |")
                last = title
    return "\n".join(lines) + "\n"


def told(runs: dict[str, Run]) -> Table:
    """Return the table of all figures."""
    table = Table("", "figure", "measured", "peer in the same run", "bar", title=machine())
    for name, one in runs.items():
        for figure in one.figures:
            bar = figure.bar and f"{figure.bar} {'held' if figure.held else 'MISSED'}"
            table.add_row(BENCHES[name].title, figure.what, figure.measured, figure.peer, bar)
    return table


def parsed(arguments: Iterable[str]) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="as the bars are defined; hours")
    parser.add_argument("--only", default=",".join(BENCHES), help="benchmarks, separated by commas")
    parser.add_argument(
        "--peers", action="append", default=[], metavar="NAME=PYTHON", help="interpreter with its peers"
    )
    parser.add_argument("--keep", action="store_true", help="keep the figures, and write the README's table")
    return parser.parse_args(list(arguments))


def chosen(options: argparse.Namespace) -> dict[str, str]:
    """Return the arguments of each benchmark that is wanted.

    Raises
    ------
    SystemExit
        When there is no such benchmark, or it has no peers that are run elsewhere.
    """
    names, peers = options.only.split(","), dict(one.split("=", 1) for one in options.peers)
    unknown = [name for name in [*names, *peers] if name not in BENCHES]
    if unknown:
        raise SystemExit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHES)}.")
    alone = [name for name in peers if not BENCHES[name].peers]
    if alone:
        raise SystemExit(f"{alone[0]} has no peers in an environment of their own.")
    found = {}
    for name in names:
        bench = BENCHES[name]
        given = f"--peers {shlex.quote(peers[name])}" if name in peers else ""
        found[name] = f"{bench.full if options.full else bench.short} {given}".strip()
    return found


def main() -> int:
    """Run them; return the exit status."""
    options, runs = parsed(sys.argv[1:]), {}
    for name, arguments in chosen(options).items():
        print(f"== {name}", flush=True)
        runs[name] = run(name, arguments)
        if options.keep:
            keep({name: runs[name]})
    Console(width=170).print(told(runs))
    return 0 if all(figure.held for one in runs.values() for figure in one.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
