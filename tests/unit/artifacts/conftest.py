import numpy as np
import pandas as pd
import pytest
import skops.io

from easeml.artifacts import Classifier
from easeml.artifacts.archive import normalised
from easeml.automl.training import train
from easeml.stream.payloads import Column, ColumnKind

COLUMNS = (
    Column("size", ColumnKind.NUMERIC),
    Column("colour", ColumnKind.CATEGORICAL, ("red", "green")),
    Column("words", ColumnKind.TEXT),
)


FEWER = dict.fromkeys(("random_forest", "extra_trees", "adaptive_forest"), '{"trees": 5}')
FEWER["committee"] = '{"arms": 3}'


def mixed_frame(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, rows)
    size = codes + 0.3 * rng.normal(size=rows)
    size[::7] = np.nan
    colour = np.where(codes == 0, "red", "green").astype(object)
    colour[::5] = None
    words = [f"row of kind{code}" if i % 3 else None for i, code in enumerate(codes)]
    return pd.DataFrame({"size": size, "colour": colour, "words": words}), codes


def crafted(model: Classifier) -> bytes:
    """Return the file of a model that ``dump`` would refuse to write."""
    return normalised(skops.io.dumps(model))


def small(family: str, parameters: str) -> Classifier:
    """Return a model of ninety rows."""
    frame, codes = mixed_frame(90)
    return train(
        frame[:60],
        codes[:60],
        frame[60:],
        codes[60:],
        columns=COLUMNS,
        classes=("a", "b", "c"),
        family=family,
        parameters=parameters,
        seed=3,
        clock=lambda: 0.0,
    ).model


@pytest.fixture(scope="session")
def trained():
    cache: dict[str, Classifier] = {}

    def make(family: str = "logistic") -> Classifier:
        if family not in cache:
            cache[family] = small(family, FEWER.get(family, "{}"))
        return cache[family]

    return make
