"""The whole house under production load: start-up, memory, throughput, and the time from a batch to its questions.

A question may name a row of an earlier batch: labels are spread over time, and the row that tells most is asked about.
So the clock starts at the batch that raised the question, which the chain of causes names; the time since the row
itself came is printed beside it. Prints one table. Peer in the same run: the bare prediction of the same ten models in
this process, without any stream.

    python tests/benchmarks/bench_house.py [--rows 20000]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
from figures import tell
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from easeml.artifacts import ArtifactStore, load
from easeml.client import Client
from easeml.demo import scenario
from easeml.ids import EventId
from easeml.relation import Relation
from easeml.stream.payloads import ModelPublished, ModelRetired, Pillar, PredictionBatch, Question, Verdict
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.topics import DATA_PRODUCTION, MODELS, PREDICTIONS, QUESTIONS
from easeml.supervisor import Stack, wait_ready
from easeml.supervisor.roster import SERVICES

APP, MODELS_WANTED, BATCH, RATE = "bench", 10, 100, 1000


def pss_megabytes(pid: int) -> float:
    """Proportional set size of a process and all below it, in MiB; of one that has ended meanwhile, 0."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return own / 1024 + sum(pss_megabytes(int(child)) for child in children)


class Collector(threading.Thread):
    """Notes when each question and each predicted row arrives at an outside consumer."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self.reader = TopicReader(client.settings, [QUESTIONS.name, PREDICTIONS.name], from_beginning=False)
        self.reader.events(timeout=0.5)  # it reads from here on
        self.asked: list[tuple[float, EventId | None, str]] = []
        """Of each question: when it came, the prediction that raised it, and the row."""
        self.scored: dict[EventId, EventId | None] = {}
        """Prediction -> the batch that it is of."""
        self.predicted = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for event in self.reader.events(timeout=0.05):
                if isinstance(event.data, Question):
                    self.asked.append((time.time(), event.cause, event.data.row_id))
                elif isinstance(event.data, PredictionBatch) and event.data.pillar is Pillar.PRODUCTION:
                    self.scored[event.id] = event.cause
                    self.predicted += len(event.data.row_ids)

    def delays(self, batches: dict[EventId, float], rows: dict[str, float]) -> np.ndarray:
        """Return milliseconds from the batch and from the row to each question, shape (n, 2), given when they left."""
        found = [(at - batches[self.scored[cause]], at - rows[row]) for at, cause, row in self.asked]
        return 1000 * np.array(found).reshape(-1, 2)


def prepare(client: Client, publisher: EventPublisher, rows: int) -> tuple[dict[str, ModelPublished], float]:
    """Return the ten best models that passed, and the seconds from the last row to the first model."""
    data = scenario.load()
    client.create_app(
        APP, label=scenario.LABEL, frame=data.train, condition="n > 0.2 +/- 0.2", steps=40, adaptivity="none",
        label_budget=rows // 10, horizon=rows, picker_half_life=2000.0,
    )  # fmt: skip
    for pillar, frame in ((Pillar.TEST, data.test), (Pillar.TRAIN, data.train), (Pillar.VALIDATION, data.validation)):
        client.publish(APP, frame, pillar)
    published, first = time.monotonic(), math.inf
    wanted = len(client.algorithms())
    models: dict[str, ModelPublished] = {}
    passed: set[str] = set()
    for event in client.events(APP):
        if isinstance(event.data, ModelPublished):
            models[event.data.model] = event.data
            first = min(first, time.monotonic() - published)
        if isinstance(event.data, Verdict):
            passed.add(event.data.model)
        if len(models) == len(passed) == wanted:
            break
    best = sorted(models, key=lambda m: -models[m].metrics["accuracy"])
    for model in best[MODELS_WANTED:]:
        publisher.send(MODELS, ModelRetired(APP, model, "the benchmark wants ten"))
    publisher.flush()
    return {model: models[model] for model in best[:MODELS_WANTED]}, first


def batches(client: Client, rows: int, tag: str):
    data = scenario.load()
    frame = data.production.sample(rows, replace=True, random_state=0)
    ids = tuple(f"{tag}-{i}" for i in range(rows))
    relation = Relation.from_frame(frame, columns=client.app(APP).columns, row_ids=ids)
    return relation.to_batches(APP, Pillar.PRODUCTION, tag, rows_per_batch=BATCH)


def wait_predicted(collector: Collector, wanted: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while collector.predicted < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {collector.predicted} of {wanted} predictions came in {seconds} s")
        time.sleep(0.005)


def wait_applied(stack: Stack, service: str) -> None:
    """Wait until a service has applied everything that is on its topics."""
    port = stack.service(service)["health_port"]
    while json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10))["lag"]:
        time.sleep(0.01)


def bare_seconds(client: Client, models: dict[str, ModelPublished], rows: int) -> float:
    """Time of the ten models' own predict on the same batches."""
    store = ArtifactStore(client.settings.store_uri, client.settings.max_artifact_bytes)
    loaded = [load(store.get(m.uri, m.sha256)) for m in models.values()]
    frames: list[pd.DataFrame] = [Relation.from_batches([b]).features() for b in batches(client, rows, "bare")]
    started = time.perf_counter()
    with threadpool_limits(1):
        for frame in frames:
            for model in loaded:
                model.predict_proba(frame)
    return time.perf_counter() - started


def run(home: Path, rows: int) -> Table:
    environment = os.environ | {"EASEML_HOME": str(home), "EASEML_LABELS_PORT": "0", "EASEML_SERVING_PORT": "0"}
    started = time.monotonic()
    with (home / "supervisor.log").open("w") as log:
        child = subprocess.Popen([sys.executable, "-m", "easeml.supervisor"], env=environment, stdout=log, stderr=log)
    try:
        stack = wait_ready(home, 120)
        ready = time.monotonic() - started
        time.sleep(3)
        rest = pss_megabytes(stack.pid)
        with Client(home=home) as client, EventPublisher(client.settings, "bench") as publisher:
            models, first = prepare(client, publisher, rows)
            for service in SERVICES:  # the models left out have to be taken leave of first
                wait_applied(stack, service)
            collector = Collector(client)
            collector.start()
            left: dict[EventId, float] = {}
            sent: dict[str, float] = {}
            paced = batches(client, RATE * 15, "paced")
            begin = time.time()
            for number, batch in enumerate(paced):
                time.sleep(max(0.0, begin + number * BATCH / RATE - time.time()))
                identity = EventId.random()
                left[identity] = time.time()
                sent |= dict.fromkeys(batch.row_ids, left[identity])
                publisher.send(DATA_PRODUCTION, batch, event_id=identity)
            wait_predicted(collector, len(sent) * MODELS_WANTED, 60)
            time.sleep(2)
            delays = collector.delays(left, sent)
            full = batches(client, rows, "full")
            before = collector.predicted
            begin = time.perf_counter()
            for batch in full:
                publisher.send(DATA_PRODUCTION, batch, event_id=EventId.random())
            publisher.flush()
            wait_predicted(collector, before + rows * MODELS_WANTED, 300)
            wait_applied(stack, "modelpicker")
            seconds = time.perf_counter() - begin
            loaded = pss_megabytes(stack.pid)
            bare = bare_seconds(client, models, rows)
            collector.done.set()
            collector.join()
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
    table = Table("figure", "measured", title=f"The house with {len(models)} models, {os.cpu_count()} cores")
    table.add_row("start-up to all services ready", f"{ready:.1f} s")
    tell("`easeml up`: all services and the broker ready", ready, "s", most=12)
    table.add_row("first model after the last row", f"{first:.1f} s")
    tell("the first model after an upload", first, "s", most=30)
    table.add_row("memory of the whole system at rest (PSS)", f"{rest:.0f} MiB")
    tell("memory of the whole system at rest (PSS)", rest, "MiB", most=700)
    table.add_row(f"memory after {rows + len(sent):,} rows (PSS)", f"{loaded:.0f} MiB")
    table.add_row(f"rows/s through serving and ModelPicker, {BATCH} per message", f"{rows / seconds:,.0f}")
    table.add_row("rows/s of the bare models, no stream", f"{rows / bare:,.0f}")
    if len(delays):
        (p50, row50), (p99, row99) = np.percentile(delays, [50, 99], axis=0)
        told = f"a production batch to its questions, {RATE:,} rows/s, {MODELS_WANTED} models"
        tell(f"{told}, p50", p50, "ms", most=50)
        tell(f"{told}, p99", p99, "ms", most=250)
        asked = f"({len(delays)} questions)"
        table.add_row(f"batch to its questions at {RATE} rows/s, p50 / p99", f"{p50:.0f} / {p99:.0f} ms {asked}")
        table.add_row("row to the question about it, p50 / p99", f"{row50:.0f} / {row99:.0f} ms")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Console(width=100).print(run(Path(folder), options.rows))
