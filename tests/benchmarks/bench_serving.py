"""Serving: what a batch costs beyond the bare predictions of its ten models.

    python tests/benchmarks/bench_serving.py

Prints, per batch size, the CPU time of ten bare ``predict_proba`` calls on a ready frame, that of the whole way of a
batch through the service (decode, dedupe, validation, frame, ten models, ten encoded output messages), and the
overhead. The bare calls encode the rows once per model, as separate models do; serving encodes them once for all.
"Shared" compares with bare calls that share the encoded matrix, which is the stricter measure. Medians of CPU time, one
thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from figures import tell
from river.datasets import ImageSegments
from threadpoolctl import threadpool_limits

from easeml.artifacts import ArtifactStore, dump, load
from easeml.automl import announcements
from easeml.automl.training import train
from easeml.relation import Relation
from easeml.serving.service import ServingService
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import AppDefined, Column, ColumnKind, ModelPublished, Pillar
from easeml.stream.topics import APPS, DATA_PRODUCTION, MODELS, PREDICTIONS

TRAIN, VALIDATION, MODELS_LIVE = 500, 200, 10


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Return the median CPU milliseconds of ``work``."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1000 * statistics.median(times)


def main() -> None:
    """Train, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    rows, labels = zip(*ImageSegments(), strict=True)
    classes = tuple(sorted(set(labels)))
    order = np.random.default_rng(0).permutation(len(rows))
    frame = pd.DataFrame(list(rows)).astype(float).iloc[order].reset_index(drop=True)
    codes = np.array([classes.index(label) for label in labels])[order]
    columns = tuple(Column(name, ColumnKind.NUMERIC) for name in frame.columns)

    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        store = ArtifactStore(Path(folder).as_uri(), 2**28)
        service = ServingService(store.uri, store.max_bytes)
        cluster = MemoryCluster([service], partitions=1)
        cluster.publish(APPS, AppDefined("segments", "category", classes, columns))
        models, total = [], 0.0
        print(f"{'algorithm':17}{'accuracy':>9}{'log loss':>9}{'CPU s':>8}{'file kB':>9}{'dump ms':>9}{'load ms':>9}")
        for algorithm in announcements():
            split = slice(TRAIN, TRAIN + VALIDATION)
            trained = train(
                frame[:TRAIN], codes[:TRAIN], frame[split], codes[split], columns=columns, classes=classes,
                family=algorithm.family, parameters=algorithm.parameters, seed=0, clock=time.process_time,
            )  # fmt: skip
            total += trained.cpu_seconds
            data = dump(trained.model)
            dumping = cpu(lambda: dump(trained.model), 3)  # noqa: B023
            loading = cpu(lambda: load(data), 3)  # noqa: B023
            print(
                f"{algorithm.algorithm:17}{trained.accuracy:9.3f}{trained.log_loss:9.3f}{trained.cpu_seconds:8.3f}"
                f"{len(data) / 1000:9.1f}{dumping:9.1f}{loading:9.1f}"
            )
            if len(models) < MODELS_LIVE:
                models.append(load(data))
                stored = store.put(data)
                cluster.publish(
                    MODELS,
                    ModelPublished(
                        "segments", algorithm.algorithm, algorithm.algorithm, *stored, "skops",
                        tuple(frame.columns), classes, "v1", "automl",
                    ),
                )  # fmt: skip
        print(f"{'all':17}{'':18}{total:8.3f}\n")
        cluster.run()
        measure(cluster, models, frame, columns, repeats)


def measure(
    cluster: MemoryCluster, models: list, frame: pd.DataFrame, columns: tuple[Column, ...], repeats: int
) -> None:
    """Print the overhead per batch size."""
    print(f"{'rows':>5}{'bare ms':>10}{'shared ms':>11}{'service ms':>12}{'overhead':>10}{'vs shared':>11}")
    for size in (1, 10, 100, 1000):
        part = frame[-size:]

        def shared(part: pd.DataFrame = part) -> None:
            encoded: dict[str, np.ndarray] = {}
            for model in models:
                model.predict_proba(part, encoded)

        bare = cpu(lambda part=part: [model.predict_proba(part) for model in models], repeats)
        together = cpu(shared, repeats)
        times = []
        for repeat in range(repeats):
            ids = tuple(f"{size}-{repeat}-{row}" for row in range(size))
            (batch,) = Relation.from_frame(part, columns=columns, row_ids=ids).to_batches(
                "segments", Pillar.PRODUCTION, "bench"
            )
            before = len(cluster.events(PREDICTIONS)) if repeat == 0 else 0
            cluster.publish(DATA_PRODUCTION, batch)
            started = time.process_time()
            cluster.run()
            times.append(time.process_time() - started)
            if repeat == 0:
                assert len(cluster.events(PREDICTIONS)) - before == len(models)
        whole = 1000 * statistics.median(times)
        if size == 100:
            peer = f"bare predict {bare:.1f} ms, serving {whole:.1f} ms"
            tell("what serving adds to ten models' predictions of 100 rows", whole / bare - 1, "%", most=0.3, peer=peer)
        print(
            f"{size:5}{bare:10.2f}{together:11.2f}{whole:12.2f}{whole / bare - 1:10.0%}{whole / together - 1:11.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
