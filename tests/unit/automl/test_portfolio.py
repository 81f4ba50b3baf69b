import json

import numpy as np
import pandas as pd
import pytest

from easeml.artifacts import Classifier, Encoder, dump, load
from easeml.automl.families import FAMILIES, build, fitted
from easeml.automl.portfolio import ARMS, announcements
from easeml.automl.race import single_threaded
from easeml.stream.payloads import Column, ColumnKind

COLUMNS = (
    Column("size", ColumnKind.NUMERIC),
    Column("age", ColumnKind.NUMERIC),
    Column("colour", ColumnKind.CATEGORICAL, ("red", "green", "blue")),
    Column("words", ColumnKind.TEXT),
    Column("image", ColumnKind.TENSOR, shape=(2, 2)),
)
CLASSES = ("a", "never", "b", "c")
SMALL = {"trees": 5, "max_iter": 5}
"""What makes an arm slow, made small: what it is stays the same."""


def mixed(rows, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, rows)
    frame = pd.DataFrame({
        "size": np.where(rng.random(rows) < 0.2, np.nan, codes + 0.3 * rng.normal(size=rows)),
        "age": rng.gamma(2.0, size=rows) * (1 + codes),
        "colour": np.where(rng.random(rows) < 0.2, None, np.array(["red", "green", "blue"], object)[codes]),
        "words": [f"row of kind{code} {i % 7}" if i % 3 else None for i, code in enumerate(codes)],
        "image": [np.full((2, 2), float(code)) + rng.normal(size=(2, 2)) for code in codes],
    })  # fmt: skip
    return frame, np.array([0, 2, 3])[codes]


FRAME, CODES = mixed(90, 0)
OTHER, TRUTH = mixed(40, 1)
ENCODER = Encoder().fit(FRAME, COLUMNS)
MATRIX = ENCODER.transform(FRAME)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.algorithm)
def test_every_arm_learns_and_comes_back_from_its_file_as_it_was(arm):
    small = {name: value for name, value in SMALL.items() if name in FAMILIES[arm.family].parameters}
    parameters = json.dumps(json.loads(arm.parameters) | (small if arm.family != "mlp" else {}))
    with single_threaded():
        model = Classifier(ENCODER, fitted(build(arm.family, parameters, 1), MATRIX, CODES), CLASSES)
        probabilities = model.predict_proba(OTHER)
        again = load(dump(model)).predict_proba(OTHER)
    assert np.mean(probabilities.argmax(axis=1) == TRUTH) > 0.6
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(again, probabilities, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(again.argmax(axis=1), probabilities.argmax(axis=1))


def test_arms_are_a_few_dozen_of_different_names_and_the_first_are_cheap():
    assert 40 <= len(ARMS) <= 200
    assert len({arm.algorithm for arm in ARMS}) == len(ARMS)
    assert len({(arm.family, arm.parameters) for arm in ARMS}) == len(ARMS)
    assert sum(arm.cost_hint for arm in ARMS[:10]) < 1.0
    assert {arm.family for arm in ARMS} >= set(FAMILIES) - {"committee"}


def test_a_new_house_announces_arms_of_the_portfolio_and_their_vote():
    by_name = {arm.algorithm: arm for arm in ARMS}
    *single, last = announcements()
    assert all(by_name[arm.algorithm] == arm for arm in single)
    assert last.family == "committee"
