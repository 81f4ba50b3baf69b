"""Whatever a frame holds, its matrix is finite, of fixed width, and each row's own affair."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from easeml.artifacts import Encoder, dump, load
from easeml.automl.families import FAMILIES
from easeml.automl.training import train
from easeml.errors import InvalidDataError
from easeml.stream.payloads import Column, ColumnKind

COLUMNS = (
    Column("number", ColumnKind.NUMERIC),
    Column("flag", ColumnKind.BOOLEAN),
    Column("colour", ColumnKind.CATEGORICAL, ("a", "b", "c")),
    Column("words", ColumnKind.TEXT),
)
NUMBERS = st.one_of(st.floats(allow_nan=True, allow_infinity=True, width=64), st.integers(-5, 5).map(float))


@st.composite
def frames(draw, low=1, high=12):
    rows = draw(st.integers(low, high))

    def column(values):
        return draw(st.lists(values, min_size=rows, max_size=rows))

    return pd.DataFrame({
        "number": np.array(column(NUMBERS), float),
        "flag": np.array(column(st.sampled_from([0.0, 1.0, np.nan])), float),
        "colour": pd.Series(column(st.sampled_from(["a", "b", "c", "new", None])), dtype=object),
        "words": pd.Series(column(st.one_of(st.none(), st.text(max_size=20))), dtype=object),
    })  # fmt: skip


def fitted(frame):
    try:
        return Encoder(max_categories=2, max_words=5).fit(frame, COLUMNS)
    except InvalidDataError:
        assume(False)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@given(frames(), frames(low=0))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_matrices_are_finite_and_of_fixed_width(train_frame, other):
    encoder = fitted(train_frame)
    for frame in (train_frame, other):
        matrix = encoder.transform(frame)
        assert matrix.shape == (len(frame), encoder.width)
        assert np.isfinite(matrix.astype(np.float32)).all()


@given(frames(low=2), frames(low=2))
@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_row_does_not_depend_on_its_neighbours(train_frame, other):
    encoder = fitted(train_frame)
    whole = encoder.transform(other)
    single = np.vstack([encoder.transform(other[i : i + 1]) for i in range(len(other))])
    np.testing.assert_array_equal(whole, single)
    categorical = other.assign(colour=pd.Categorical(other["colour"]))
    np.testing.assert_array_equal(encoder.transform(categorical), whole)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_prediction_does_not_depend_on_its_neighbours(family):
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 3, 80)
    frame = pd.DataFrame({
        "number": codes + 0.4 * rng.normal(size=80),
        "flag": np.where(codes == 2, 1.0, np.nan),
        "colour": np.array(["a", "b", None], object)[codes],
        "words": [f"kind{code} {i % 7}" for i, code in enumerate(codes)],
    })  # fmt: skip
    model = train(
        frame, codes, frame, codes, columns=COLUMNS, classes=("x", "y", "z"), family=family,
        parameters='{"arms": 3}' if family == "committee" else "{}", seed=0,
        clock=lambda: 0.0,
    ).model  # fmt: skip
    model = load(dump(model))
    whole = model.predict_proba(frame[:20])
    single = np.vstack([model.predict_proba(frame[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(whole, single, atol=1e-9)
