"""Codec against fastavro: microseconds per message , best of five."""

from __future__ import annotations

import io
import timeit
from dataclasses import asdict
from functools import partial

import fastavro
import numpy as np
from figures import tell

from easeml.stream import codec, schemas
from easeml.stream.payloads import Column, ColumnKind, Pillar, RelationBatch, TrialFinished, TrialOutcome


def batch(rows: int, columns: int) -> RelationBatch:
    return RelationBatch(
        app="churn",
        pillar=Pillar.PRODUCTION,
        version="v1",
        columns=tuple(Column(f"column{i}", ColumnKind.NUMERIC) for i in range(columns)),
        row_ids=tuple(f"row-{i}" for i in range(rows)),
        numeric=np.random.default_rng(0).normal(size=rows * columns),
    )


def microseconds(function, number: int) -> float:
    return min(timeit.repeat(function, number=number, repeat=5)) / number * 1e6


def generic(payload) -> dict:
    plain = asdict(payload)
    return {k: (v.tolist() if v.dtype.kind == "f" else v.tobytes()) if isinstance(v, np.ndarray) else v
            for k, v in plain.items()}  # fmt: skip


def main() -> None:
    print(f"{'message':<28}{'bytes':>9}{'decode':>10}{'fastavro':>10}{'encode':>10}{'fastavro':>10}   us")
    trial = TrialFinished("churn", "trial-1", "forest", TrialOutcome.TRAINED, 0.9, 12.5, "model-1")
    for name, payload, number in (
        ("TrialFinished", trial, 2000),
        ("RelationBatch 100 x 30", batch(100, 30), 200),
        ("RelationBatch 1000 x 30", batch(1000, 30), 20),
    ):
        raw, plain = codec.encode(payload), generic(payload)
        schema = fastavro.parse_schema(schemas.newest(type(payload)).document)
        calls = (
            partial(codec.decode, raw),
            lambda raw=raw, schema=schema: fastavro.schemaless_reader(io.BytesIO(raw[5:]), schema, None),
            partial(codec.encode, payload),
            lambda plain=plain, schema=schema: fastavro.schemaless_writer(io.BytesIO(), schema, plain),
        )
        times = [microseconds(call, number) for call in calls]
        for what, ours, peer in (("decode", *times[:2]), ("encode", *times[2:])):
            tell(f"{what} {name}", ours, "µs", peer=f"fastavro {peer:,.3g} µs")
        print(f"{name:<28}{len(raw):>9}" + "".join(f"{time:>10.1f}" for time in times))


if __name__ == "__main__":
    main()
