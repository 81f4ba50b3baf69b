import numpy as np
import pandas as pd
import pytest

from easeml.automl.service import AutoMLService
from easeml.automl.trainer import TrainerService
from easeml.relation import Relation
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    AppDefined,
    Column,
    ColumnKind,
    DataVersion,
    Pillar,
)
from easeml.stream.topics import ALGORITHMS, APPS, DATA_VERSIONS, PILLAR_TOPICS

CLASSES = ("no", "yes", "maybe")
COLUMNS = (Column("x", ColumnKind.NUMERIC), Column("colour", ColumnKind.CATEGORICAL, ("blue", "red")))
LOGISTIC = AlgorithmAnnounced("logistic", "logistic", "{}", 0.1)
TREE = AlgorithmAnnounced("tree", "decision_tree", '{"max_depth": 3}', 0.2)
BAYES = AlgorithmAnnounced("bayes", "naive_bayes", "{}", 0.3)


def rows(count: int, seed: int, prefix: str, labelled: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, count)
    x = codes * 2.0 + 0.5 * rng.normal(size=count)
    x[::11] = np.nan
    frame = pd.DataFrame({"x": x, "colour": np.where(codes == 1, "red", "blue")})
    frame["label"] = np.array(CLASSES, object)[codes]
    if not labelled:
        frame["label"] = None
    frame.index = [f"{prefix}{i}" for i in range(count)]
    return frame


class Town:
    """A memory cluster with the services of this room and one app."""

    def __init__(self, tmp_path, algorithms=(LOGISTIC, TREE), services=None, **options) -> None:
        self.store_uri = (tmp_path / "store").as_uri()
        self.services = services or [AutoMLService(), TrainerService(self.store_uri, 10_000_000)]
        self.cluster = MemoryCluster(self.services, **options)
        self.app = AppDefined("churn", "label", CLASSES, COLUMNS)
        self.cluster.publish(APPS, self.app)
        self.announce(*algorithms)

    def announce(self, *algorithms) -> None:
        for algorithm in algorithms:
            self.cluster.publish(ALGORITHMS, algorithm)

    def batches(self, pillar: Pillar, frame: pd.DataFrame, version: str = "v1", columns=COLUMNS):
        relation = Relation.from_frame(
            frame, label="label", classes=CLASSES, row_ids=tuple(frame.index), columns=columns
        )
        return list(relation.to_batches("churn", pillar, version))

    def rows(self, pillar: Pillar, frame: pd.DataFrame, version: str = "v1") -> None:
        for batch in self.batches(pillar, frame, version):
            self.cluster.publish(PILLAR_TOPICS[pillar], batch)

    def version(self, pillar: Pillar, count: int, version: str = "v1") -> None:
        self.cluster.publish(DATA_VERSIONS, DataVersion("churn", pillar, version, count, "0" * 64, "test"))

    def data(self) -> None:
        for pillar, count, seed in ((Pillar.TRAIN, 40, 1), (Pillar.VALIDATION, 20, 2)):
            self.rows(pillar, rows(count, seed, pillar.value))
            self.version(pillar, count)


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path)
