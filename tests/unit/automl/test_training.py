import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from easeml.artifacts import Encoder, dump
from easeml.automl.families import FAMILIES
from easeml.automl.training import train
from easeml.errors import ConfigurationError, InvalidDataError
from easeml.stream.payloads import Column, ColumnKind

IRIS = load_iris()
COLUMNS = tuple(Column(name, ColumnKind.NUMERIC) for name in "abcd")
ORDER = np.random.default_rng(0).permutation(150)
FRAME = pd.DataFrame(IRIS.data[ORDER], columns=list("abcd"))
CODES = IRIS.target[ORDER]
FLOOR = {"online_logistic": 0.7}  # one line against the rest cannot part the middle class

FEWER = {"committee": '{"arms": 3}'}


def fit(
    family, *, frame=FRAME, codes=CODES, columns=COLUMNS, classes=("a", "b", "c"), parameters=None, seed=0, cut=100
):
    return train(
        frame[:cut],
        codes[:cut],
        frame[cut:],
        codes[cut:],
        columns=columns,
        classes=classes,
        family=family,
        parameters=parameters or FEWER.get(family, "{}"),
        seed=seed,
        clock=iter(range(10)).__next__,
    )


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_learns_iris(family):
    trained = fit(family)
    assert trained.accuracy >= FLOOR.get(family, 0.8)
    assert trained.cpu_seconds == 1.0
    probabilities = trained.model.predict_proba(FRAME[100:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities >= 0).all()
    right = probabilities[np.arange(50), CODES[100:]]
    assert trained.log_loss == pytest.approx(-np.log(np.maximum(right, 1e-6)).mean())
    assert trained.model.predict(FRAME[100:]).dtype == np.int32


@pytest.mark.parametrize("family", ["extra_trees", "mlp", "linear_svm", "adaptive_forest", "boosting"])
def test_a_seed_decides_everything(family):
    first, again, other = (fit(family, seed=seed).model.predict_proba(FRAME) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    if family not in {"linear_svm", "boosting"}:
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_classes_without_rows_keep_their_column(family):
    trained = fit(family, classes=("before", "a", "between", "b", "c"), codes=np.array([1, 3, 4])[CODES])
    probabilities = trained.model.predict_proba(FRAME)
    assert probabilities.shape == (150, 5)
    assert (probabilities[:, [0, 2]] == 0).all()
    assert trained.accuracy >= FLOOR.get(family, 0.8)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_two_classes_are_enough(family):
    keep = CODES < 2
    trained = fit(family, frame=FRAME[keep].reset_index(drop=True), codes=CODES[keep], classes=("a", "b"), cut=60)
    assert trained.accuracy >= 0.95


def test_unlabelled_rows_are_left_out():
    codes = CODES.copy()
    codes[::3] = -1
    assert fit("lda", codes=codes).accuracy > 0.9


@pytest.mark.parametrize("family", ["lda", "committee"])
def test_validation_rows_judge_a_model_and_teach_it_nothing(family):
    codes = CODES.copy()
    codes[100:] = (codes[100:] + 1) % 3
    right, wrong = fit(family), fit(family, codes=codes)
    assert right.accuracy > 0.9
    assert wrong.accuracy < 0.1
    assert dump(right.model) == dump(wrong.model)


def test_a_frame_of_every_kind():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "number": np.where(rng.random(150) < 0.2, np.nan, rng.normal(size=150)),
        "flag": np.where(CODES == 0, 1.0, np.nan),
        "colour": np.where(CODES == 1, "red", None),
        "text": [["calm day", "wild night", ""][code] or None for code in CODES],
        "moment": rng.normal(size=150) + 1.7e9,
        "image": [np.full((2, 2), float(code)) for code in CODES],
        "constant": np.full(150, 3.0),
        "empty": np.full(150, np.nan),
    })  # fmt: skip
    columns = (
        Column("number", ColumnKind.NUMERIC),
        Column("flag", ColumnKind.BOOLEAN),
        Column("colour", ColumnKind.CATEGORICAL, ("red",)),
        Column("text", ColumnKind.TEXT),
        Column("moment", ColumnKind.DATETIME),
        Column("image", ColumnKind.TENSOR, shape=(2, 2)),
        Column("constant", ColumnKind.NUMERIC),
        Column("empty", ColumnKind.NUMERIC),
    )
    for family in ("logistic", "boosting", "online_logistic"):
        trained = fit(family, frame=frame, columns=columns)
        assert trained.accuracy == 1.0
        assert trained.model.columns == tuple(column.name for column in columns)
    strange = frame[:3].assign(colour="violet", text="never seen", number=np.inf)
    assert np.isfinite(trained.model.predict_proba(strange)).all()


def test_equal_data_gives_equal_encoders_and_shared_work():
    one, two = fit("lda").model, fit("knn").model
    assert one.encoder.fingerprint == two.encoder.fingerprint
    encoded = {}
    one.predict_proba(FRAME, encoded)
    assert list(encoded) == [one.encoder.fingerprint]
    np.testing.assert_array_equal(two.predict_proba(FRAME, encoded), two.predict_proba(FRAME))
    assert fit("lda", cut=99).model.encoder.fingerprint != one.encoder.fingerprint


def test_no_rows_no_predictions():
    assert fit("logistic").model.predict_proba(FRAME[:0]).shape == (0, 3)


def test_bad_data_is_explained():
    with pytest.raises(InvalidDataError, match="1 of the 3 classes"):
        fit("logistic", codes=np.zeros(150, int))
    with pytest.raises(InvalidDataError, match="0 of the 3 classes"):
        fit("logistic", codes=np.full(150, -1))
    with pytest.raises(InvalidDataError, match="No validation row"):
        fit("logistic", codes=np.where(np.arange(150) < 100, CODES, -1))
    with pytest.raises(InvalidDataError, match="class code 2"):
        fit("logistic", classes=("a", "b"))
    with pytest.raises(InvalidDataError, match="lack the column 'd'"):
        fit("logistic", frame=FRAME.drop(columns="d"))
    with pytest.raises(InvalidDataError, match="anything to learn from"):
        Encoder().fit(FRAME.assign(t=None), (Column("t", ColumnKind.TEXT),))
    with pytest.raises(InvalidDataError, match="not a number"):
        fit("logistic", frame=FRAME.assign(d="abc"))
    with pytest.raises(ConfigurationError):
        fit("nonsense")


def test_a_prediction_without_a_column_is_explained():
    with pytest.raises(InvalidDataError, match="columns 'a', 'b'"):
        fit("logistic").model.predict_proba(FRAME[["c", "d"]])


def test_output_that_is_not_finite_is_refused():
    model = fit("logistic").model
    model.estimator.coef_ = np.full_like(model.estimator.coef_, np.nan)
    with pytest.raises(InvalidDataError, match="not finite"):
        model.predict_proba(FRAME)
