"""ModelPicker through the stream: rows per second, wait for questions, memory, and the drifting file in order.

    python tests/benchmarks/bench_modelpicker_stream.py [--quick]

A broker and the picker run as processes; an annotator answers all questions at once. First, batches of 100 rows by each
of 80 models with 10 classes are published as fast as they go: rows per second until the picker has applied the last.
Then 10 rows come every 100 ms; a wait is the time from the record of the prediction batch that completed a row to the
record of the question that it caused. Memory is the picker's peak over both. Last the drifting file, five rows every
100 ms: what its picks had right, and the labels spent. The reference data are read from ``EASEML_REFERENCE_DATA`` or
``../shared/data``; without them the last part is left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_dashboard import memory
from bench_modelpicker import DATA
from figures import tell
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "modelpicker"))

from picker_stream import Votes
from street import Street

from easeml.stream.reader import TopicReader
from easeml.stream.topics import ANSWERS, APPS, PICKS, PREDICTIONS, QUESTIONS, VERDICTS

MODELS, CLASSES = 80, 10


class Program(subprocess.Popen):
    """A service as a container starts it: nothing is imported but what it needs."""

    join = subprocess.Popen.wait
    exitcode = property(subprocess.Popen.poll)


class Alley(Street):
    """A broker and the picker."""

    def start(self, names=("modelpicker",)):
        super().start(names)

    def _process(self, name, environment):
        with (self.home / f"{name}.log").open("ab") as log:
            return Program([sys.executable, "-m", f"easeml.{name}"], env=environment, stdout=log, stderr=log)


class Annotator:
    """Answers every question once."""

    def __init__(self, street, votes):
        self.street, self.votes, self.questions = street, votes, {}
        self.reader = TopicReader(street.settings, [QUESTIONS.name], from_beginning=False)

    def work(self, seconds):
        """Answer what is asked within some seconds."""
        until = time.monotonic() + seconds
        while True:
            for event in self.reader.events(timeout=max(min(until - time.monotonic(), 0.05), 0.001)):
                if event.app == self.votes.app.app and event.data.question not in self.questions:
                    self.questions[event.data.question] = event
                    self.street.publisher.send(ANSWERS, self.votes.answer(event.data))
            self.street.publisher.flush()
            self.street.tick()
            if time.monotonic() >= until:
                return

    def rest(self):
        """Work until the picker has applied everything and asks no more."""
        known = -1
        while known < len(self.questions) or self.street.health("modelpicker")[1]["lag"] > 0:
            known = len(self.questions)
            self.work(0.1)


def made(app, rows, budget):
    rng = np.random.default_rng(0)
    truth = rng.integers(CLASSES, size=rows)
    right = rng.random((rows, MODELS)) < np.linspace(0.5, 0.8, MODELS)
    return Votes(app, np.where(right, truth[:, None], rng.integers(CLASSES, size=(rows, MODELS))), truth, budget)


def played(street, votes, batch, pause):
    """Publish rows in batches, a pause after each; return the annotator and the seconds until all was applied."""
    street.publisher.send(APPS, votes.app)
    street.publisher.flush()
    for verdict in votes.verdicts():
        street.publisher.send(VERDICTS, verdict)
    street.publisher.flush()
    annotator = Annotator(street, votes)
    annotator.rest()
    begin = time.monotonic()
    for start in range(0, len(votes.truth), batch):
        for predicted in votes.predictions(start, start + batch):
            street.publisher.send(PREDICTIONS, predicted)
        street.publisher.flush()
        annotator.work(max(begin + pause * (start // batch + 1) - time.monotonic(), 0.0))
    annotator.rest()
    annotator.reader.close()
    return annotator, time.monotonic() - begin


def waits(street, annotator):
    """Milliseconds from each causing prediction batch to its question."""
    recorded = {event.id: event.recorded for event in street.events(PREDICTIONS.name)}
    asked = annotator.questions.values()
    return [1e3 * (event.recorded - recorded[event.cause]) for event in asked if event.cause in recorded]


def many_models(street, table, quick):
    rows = 2_000 if quick else 10_000
    _, seconds = played(street, made("fast", rows, rows // 100), 100, 0.0)
    tell(f"rows of {MODELS} models through the service", rows / seconds, "rows/s")
    table.add_row(f"{MODELS} models, {CLASSES} classes, as fast as they go", f"{rows / seconds:,.0f} rows/s", "")
    rows = 500 if quick else 3_000
    annotator, _ = played(street, made("paced", rows, rows // 10), 10, 0.1)
    wait = waits(street, annotator)
    tell("predictions to a question, 100 rows/s of 80 models, p50", np.median(wait), "ms")
    spread = f"p50 {np.median(wait):.0f}, p99 {np.percentile(wait, 99):.0f} ms of {len(wait)}"
    table.add_row("prediction batch to question, 100 rows/s", spread, "")
    pid = street.processes["modelpicker"].pid
    tell("memory of the picker at its peak", memory(pid, "VmHWM"), "MB", most=300)
    table.add_row("memory of the picker at its peak", f"{memory(pid, 'VmHWM'):.0f} MB", "< 300 MB")


def drifting(street, table, quick):
    with np.load(DATA / "drift.npz") as file:
        known, truth = file["predictions"], file["labels"]
    for share in (0.05,) if quick else (0.05, 0.02):
        budget = int(share * len(truth))
        votes = Votes(f"drift{budget}", known, truth, budget)
        annotator, _ = played(street, votes, 5, 0.1)
        picks = [event.data for event in street.events(PICKS.name) if event.app == votes.app.app]
        tell(f"drift in order, {budget} labels: right picks", votes.served(picks), "%", least=0.74)
        told = f"{votes.served(picks):.3f} right, {len(annotator.questions)} labels"
        table.add_row(f"drift in order, picks, {budget} labels", told, f">= .74, {budget} labels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, one budget")
    options = parser.parse_args()
    table = Table("figure", "measured", "bar")
    with tempfile.TemporaryDirectory() as home, Alley(Path(home)) as street:
        many_models(street, table, options.quick)
        if DATA.is_dir():
            drifting(street, table, options.quick)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
