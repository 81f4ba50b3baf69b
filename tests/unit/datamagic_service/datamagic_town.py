"""One app, the service on a memory cluster, and files to upload."""

import hashlib

import numpy as np
import pandas as pd

from easeml.datamagic.service import DataMagicService
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import AppDefined, Column, ColumnKind, DataVersion, Pillar, RelationBatch, Upload
from easeml.stream.topics import (
    APPS,
    DATA_TEST_LABELS,
    DATA_VERSIONS,
    LINEAGE,
    PILLAR_TOPICS,
    UPLOADS,
    UPLOADS_TEST,
    uploads_topic,
)

CLASSES = ("no", "yes")
COLUMNS = (
    Column("x", ColumnKind.NUMERIC),
    Column("y", ColumnKind.NUMERIC),
    Column("colour", ColumnKind.CATEGORICAL, ("blue", "red")),
)
APP = AppDefined("shop", "bought", CLASSES, COLUMNS, life="ab12")


def frame(rows=200, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows).round(6)
    table = pd.DataFrame({"x": x, "y": (2 * x).round(6), "colour": rng.choice(["blue", "red"], rows)})
    table["bought"] = np.where(x > 0, "yes", "no")
    if missing:
        table.loc[rng.random(rows) < missing, "y"] = np.nan
    return table


def csv(table, **options):
    return table.to_csv(index=False, **options).encode()


def upload(content, name="shop.csv", upload_id="u1", **options):
    return Upload(APP.app, upload_id, name, hashlib.sha256(content).hexdigest(), content=content, **options)


def chunked(content, pieces, **options):
    """Return an upload in chunks."""
    size = -(-len(content) // pieces)
    whole = upload(content, **options)
    fields = {name: getattr(whole, name) for name in Upload.__slots__}
    return [
        Upload(**(fields | {"content": content[at * size : (at + 1) * size], "chunk": at, "chunks": pieces}))
        for at in range(pieces)
    ]


class Town:
    """The service and its app."""

    def __init__(self, roots=("memory://uploads",), app=APP, **options):
        self.service = DataMagicService(roots)
        self.cluster = MemoryCluster([self.service], **options)
        self.app = app
        self.cluster.publish(APPS, app)

    def send(self, *uploads, run=True):
        for each in uploads:
            self.cluster.publish(uploads_topic(each.pillar), each)
        if run:
            self.cluster.run()

    def batches(self, pillar):
        return [e.data for e in self.cluster.events(PILLAR_TOPICS[pillar]) if isinstance(e.data, RelationBatch)]

    def rows(self):
        """Return the distinct row ids of each pillar that has some."""
        found = {p: {r for batch in self.batches(p) for r in batch.row_ids} for p in Pillar}
        return {pillar: rows for pillar, rows in found.items() if rows}

    def labels(self):
        return {
            row: batch.classes[code]
            for batch in (e.data for e in self.cluster.events(DATA_TEST_LABELS))
            for row, code in zip(batch.row_ids, batch.labels, strict=True)
        }

    def versions(self, pillar=None):
        found = [e.data for e in self.cluster.events(DATA_VERSIONS) if isinstance(e.data, DataVersion)]
        return [version for version in found if pillar in (None, version.pillar)]

    def runs(self):
        return [e.data for e in self.cluster.events(LINEAGE)]

    def letters(self, *topics):
        found = [letter for topic in topics or (UPLOADS, UPLOADS_TEST) for letter in self.cluster.dead_letters(topic)]
        return [(letter.reason, letter.message) for letter in found]
