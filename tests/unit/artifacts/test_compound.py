import copy

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.svm import SVC, LinearSVC

from easeml.artifacts import Classifier, dump, load
from easeml.artifacts.compound import Pipeline, Vote
from easeml.artifacts.steps import Clipped, Products, Projection, Ranks, Selection
from easeml.automl.kernel_machines import MAX_ROWS, KernelMachine, freeze_machine
from easeml.errors import ArtifactError, InvalidDataError

from .conftest import crafted, mixed_frame

MATRIX, CODES = load_iris(return_X_y=True)
CODES = CODES.astype(np.int64)


@pytest.fixture
def vote(trained):
    """A classifier that is a vote of a pipeline and a plain model."""
    first, second = copy.deepcopy(trained("logistic")), trained("naive_bayes")
    width = first.encoder.width
    steps = [
        Clipped(3.0),
        Ranks(np.array([0]), np.linspace(-1, 1, 9)[:, None]),
        Products(np.array([0]), np.array([1])),
        Selection(np.arange(width)),
        Projection(np.zeros(width), np.eye(width)),
    ]
    return Classifier(
        first.encoder, Vote([Pipeline(steps, first.estimator), second.estimator], np.array([0.25, 0.75])), first.classes
    )


def test_a_vote_is_the_weighted_mean_of_its_members(vote, trained):
    frame, _ = mixed_frame(40, seed=1)
    pipeline = Classifier(vote.encoder, vote.estimator.members[0], vote.classes)
    expected = 0.25 * pipeline.predict_proba(frame) + 0.75 * trained("naive_bayes").predict_proba(frame)
    np.testing.assert_allclose(vote.predict_proba(frame), expected)
    np.testing.assert_allclose(load(dump(vote)).predict_proba(frame), expected)
    assert dump(load(dump(vote))) == dump(vote)


def break_ranks(vote):
    vote.estimator.members[0].steps[1].columns = np.array([10_000])


def break_products(vote):
    vote.estimator.members[0].steps[2].right = np.array([-1])


def break_selection(vote):
    vote.estimator.members[0].steps[3].columns = np.array([0.5])


def break_projection(vote):
    vote.estimator.members[0].steps[4].axes = np.ones((3, 2))


def break_centre(vote):
    vote.estimator.members[0].steps[4].centre = np.ones(1)


def break_weights(vote):
    vote.estimator.weights = np.ones(1)


def break_emptiness(vote):
    vote.estimator.members = []


def break_classes(vote):
    estimator = copy.deepcopy(vote.estimator.members[1])
    estimator.classes_ = np.array([0, 1])
    vote.estimator.members[1] = estimator


def break_depth(vote):
    vote.estimator.members[0] = Pipeline([], vote.estimator.members[0])


def break_nesting(vote):
    vote.estimator = Vote([vote.estimator], np.ones(1))


@pytest.mark.parametrize("change", [value for name, value in list(globals().items()) if name.startswith("break_")])
def test_compound_models_that_do_not_fit_together_are_refused(vote, change):
    change(vote)
    data = crafted(vote)
    with pytest.raises(ArtifactError):
        load(data)


def test_ranks_keep_order_and_forget_distance():
    values = np.array([0.0, 1.0, 2.0, 100.0, 1e6])
    step = Ranks(np.array([1]), np.quantile(values, np.linspace(0, 1, 5))[:, None])
    found = step.apply(np.column_stack([values, values]))
    np.testing.assert_array_equal(found[:, 0], values)
    assert (np.diff(found[:, 1]) > 0).all()
    assert np.abs(found[:, 1]).max() < 3
    np.testing.assert_allclose(found[:, 1], -found[::-1, 1], atol=1e-12)
    beyond = step.apply(np.array([[0.0, -1e9], [0.0, 1e9]]))
    np.testing.assert_allclose(beyond[:, 1], found[[0, -1], 1])


def test_steps_tell_their_widths():
    matrix = np.arange(12.0).reshape(3, 4)
    for step in (
        Clipped(1.0),
        Selection(np.array([3, 1])),
        Products(np.array([0, 1]), np.array([2, 3])),
        Projection(np.ones(4), np.ones((4, 2))),
        Ranks(np.array([2]), np.zeros((5, 1))),
    ):
        assert step.apply(matrix).shape == (3, step.width(4))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_a_frozen_kernel_machine_decides_as_libsvm_does(classes, C):
    rows = classes > CODES
    matrix, codes = MATRIX[rows], CODES[rows]
    machine = SVC(C=C, gamma=0.4, decision_function_shape="ovo").fit(matrix[::2], codes[::2])
    frozen = freeze_machine(machine)
    expected = machine.decision_function(matrix)
    found = frozen.decisions(matrix)
    np.testing.assert_allclose(-found[:, 0] if classes == 2 else found, expected, atol=1e-9)
    probabilities = frozen.predict_proba(matrix)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.mean(probabilities.argmax(axis=1) == machine.predict(matrix)) > 0.98


def test_a_kernel_machine_of_another_shape_is_refused(trained):
    model = load(dump(trained("svm")))
    for name, value in (("points", np.ones((1, 1))), ("weights", np.ones((9, 9))), ("intercepts", np.ones(2))):
        broken = load(dump(model))
        setattr(broken.estimator, name, value)
        data = crafted(broken)
        with pytest.raises(ArtifactError, match="kernel machine"):
            load(data)


def test_kernel_machines_refuse_what_would_take_hours():
    rows = np.zeros((MAX_ROWS + 1, 1))
    with pytest.raises(InvalidDataError, match="at most 10000 rows"):
        KernelMachine(0, C=1.0, gamma=1.0).fit(rows, np.zeros(len(rows), np.int64))


def test_pipelines_speak_for_estimators_with_scores_only():
    pipeline = Pipeline([Clipped(2.0)], LinearSVC().fit(np.clip(MATRIX, -2, 2), CODES))
    probabilities = pipeline.predict_proba(MATRIX)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(pipeline.classes_, [0, 1, 2])
