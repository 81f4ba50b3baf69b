"""The rules of the ledger, one test each."""

import csv
import json
import os
import pathlib

import numpy as np
import pytest

from easeml.ci import TestSetLedger
from easeml.errors import (
    BudgetExhaustedError,
    ConfigurationError,
    ConflictError,
    InvalidDataError,
    NotFoundError,
)

ROOT = pathlib.Path(__file__).parents[3]
DATA = pathlib.Path(os.environ.get("EASEML_REFERENCE_DATA", ROOT.parent / "shared" / "data")) / "ci"
N = 1500
GAIN = "n - o > 0 +/- 0.05"


def ledger(n=N, condition=GAIN, seed=0, **protocol):
    settings = {"reliability": 0.95, "steps": 4, "adaptivity": "full", "mode": "fp-free"} | protocol
    return TestSetLedger(n, condition=condition, rng=np.random.default_rng(seed), **settings)


def world(n=N, seed=1, accuracy=(0.7, 0.85), classes=3):
    """Return labels and, per accuracy, predictions that are right that often, made independently."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    models = []
    for share in accuracy:
        wrong = rng.random(n) >= share
        models.append(np.where(wrong, (truth + rng.integers(1, classes, size=n)) % classes, truth))
    return truth, *models


def run(evaluation, truth):
    asked = []
    for index in evaluation:
        asked.append(index)
        evaluation.observe(index, int(truth[index]))
    return asked


def test_a_better_model_passes_and_becomes_the_baseline():
    truth, old, new = world()
    book = ledger()
    book.set_baseline("old", old)
    evaluation = book.propose("new", new)
    asked = run(evaluation, truth)
    verdict = evaluation.verdict
    assert (verdict.outcome, verdict.signal, verdict.alarm) == ("PASSED", True, None)
    assert verdict.labels_used == len(asked) < 300
    assert verdict.labels_reused == 0
    assert verdict.histories_left == 3
    assert book.baseline == "new"
    assert 0.85 in verdict.intervals["n"]
    assert 0.7 in verdict.intervals["o"]
    assert float((old != new).mean()) in verdict.intervals["d"]


def test_a_worse_model_fails():
    truth, old, new = world()
    book = ledger()
    evaluation = book.propose("worse", old, new)
    run(evaluation, truth)
    assert (evaluation.verdict.outcome, evaluation.verdict.signal) == ("FAILED", False)
    assert book.baseline == ""


def test_only_disagreements_are_labelled_in_the_fixed_order():
    truth, old, new = world()
    book = ledger()
    evaluation = book.propose("new", new, old)
    asked = run(evaluation, truth)
    differing = [int(i) for i in book.order if old[i] != new[i]]
    assert asked == differing[: len(asked)]


def test_bought_labels_are_reused_when_their_turn_comes():
    truth, a, b, c = world(accuracy=(0.7, 0.71, 0.72))
    book = ledger()
    first = book.propose("b", b, a)
    bought = set(run(first, truth))
    second = book.propose("c", c)
    asked = run(second, truth)
    assert not bought & set(asked)
    verdict = second.verdict
    assert verdict.labels_used == verdict.labels_reused + len(asked)
    assert verdict.labels_reused > 0
    base = a if book.verdicts[0].outcome != "PASSED" else b
    walked = [int(i) for i in book.order if base[i] != c[i]][: verdict.labels_used]
    assert verdict.labels_reused == len(bought & set(walked))


def test_labels_bought_beforehand_do_not_change_the_verdict():
    truth, old, new = world()
    lazy, eager = ledger(), ledger()
    one = lazy.propose("new", new, old)
    run(one, truth)
    for index in np.random.default_rng(5).permutation(N):
        eager.observe(int(index), int(truth[index]))
    two = eager.propose("new", new, old)
    assert list(two) == []
    assert two.verdict.intervals == one.verdict.intervals
    assert two.verdict.labels_used == two.verdict.labels_reused == one.verdict.labels_used


def test_a_label_twice_counts_once_and_another_one_is_refused():
    truth, old, new = world()
    book = ledger()
    evaluation = book.propose("new", new, old)
    index = next(iter(evaluation))
    for _ in range(3):
        evaluation.observe(index, int(truth[index]))
    assert book.labels_bought == 1
    with pytest.raises(ConflictError, match="final"):
        evaluation.observe(index, int(truth[index]) + 1)


def test_looking_ahead_gives_the_next_examples_in_order():
    truth, old, new = world()
    book = ledger()
    evaluation = book.propose("new", new, old)
    ahead = evaluation.wanted(40)
    iterator = iter(evaluation)
    assert [next(iterator) for _ in range(40)] == ahead == [int(i) for i in book.order if old[i] != new[i]][:40]
    for index in reversed(ahead):
        evaluation.observe(index, int(truth[index]))
    assert next(iterator) not in ahead


@pytest.mark.parametrize(("mode", "signal"), [("fp-free", False), ("fn-free", True)])
def test_the_mode_decides_the_undecided(mode, signal):
    truth, old, _ = world()
    book = ledger(60, mode=mode)
    new = old.copy()[:60]
    new[:30] = (new[:30] + 1) % 3
    evaluation = book.propose("new", new, old[:60])
    run(evaluation, truth)
    verdict = evaluation.verdict
    if verdict.outcome == "UNDECIDED":
        assert verdict.signal is signal
        assert verdict.alarm == "labels_exhausted"


def test_a_small_test_set_stays_honest():
    truth, old, new = world(40, accuracy=(0.75, 0.8))
    book = ledger(40, reliability=0.999, condition="n - o > 0 +/- 0.01")
    evaluation = book.propose("new", new, old)
    run(evaluation, truth)
    assert evaluation.verdict.outcome == "UNDECIDED"
    assert evaluation.verdict.alarm == "labels_exhausted"
    assert evaluation.verdict.intervals["n"].half_width > 0.1


def test_identical_predictions_need_no_label():
    _, old, _ = world()
    book = ledger()
    evaluation = book.propose("copy", old, old)
    assert list(evaluation) == []
    assert evaluation.verdict.outcome == "UNDECIDED"
    assert evaluation.verdict.labels_used == 0


def test_a_refuted_filter_asks_nothing():
    _, old, new = world()
    evaluation = ledger(condition="n - o > 0 +/- 0.05 and d < 0.1 +/- 0.05").propose("new", new, old)
    assert evaluation.verdict.outcome == "FAILED"
    assert evaluation.verdict.labels_used == 0


def test_an_accuracy_needs_no_old_model():
    truth, _, new = world()
    evaluation = ledger(condition="n > 0.7 +/- 0.05").propose("new", new)
    run(evaluation, truth)
    assert evaluation.verdict.outcome == "PASSED"
    assert set(evaluation.verdict.intervals) == {"n"}


def test_steps_end_with_an_alarm():
    truth, old, new = world()
    book = ledger(steps=2)
    for step, predictions in enumerate((new, old)):
        evaluation = book.propose(f"m{step}", predictions, old if step == 0 else None)
        run(evaluation, truth)
    assert evaluation.verdict.alarm == "steps_exhausted"
    assert evaluation.verdict.histories_left == 0
    with pytest.raises(BudgetExhaustedError, match="fresh test data"):
        book.propose("m3", new)


def test_first_change_retires_the_set():
    truth, old, new = world()
    book = ledger(adaptivity="first_change")
    evaluation = book.propose("new", new, old)
    run(evaluation, truth)
    assert (evaluation.verdict.alarm, evaluation.verdict.histories_left) == ("first_change", 0)
    with pytest.raises(BudgetExhaustedError, match="first change"):
        book.propose("next", old)


def test_a_repeated_proposal_costs_no_step():
    truth, old, new = world()
    book = ledger()
    evaluation = book.propose("new", new, old)
    assert book.propose("new", new, old).wanted(3) == evaluation.wanted(3)
    run(evaluation, truth)
    assert book.propose("new", new).verdict == evaluation.verdict
    assert book.steps_used == 1
    with pytest.raises(ConflictError, match="new id"):
        book.propose("new", old)


def test_violations_are_refused():
    truth, old, new = world()
    book = ledger()
    with pytest.raises(InvalidDataError, match="old model"):
        book.propose("new", new)
    with pytest.raises(InvalidDataError, match="shape"):
        book.propose("new", new[:-1], old)
    with pytest.raises(InvalidDataError, match="example 7"):
        book.propose("new", np.where(np.arange(N) == 7, -1, new), old)
    with pytest.raises(InvalidDataError, match="class ids"):
        book.propose("new", new + 0.5, old)
    with pytest.raises(NotFoundError, match="never proposed"):
        book.verdict_of("new")
    evaluation = book.propose("new", new, old)
    with pytest.raises(ConflictError, match="Finish it"):
        book.propose("other", old)
    with pytest.raises(InvalidDataError, match="does not exist"):
        evaluation.observe(N, 0)
    with pytest.raises(InvalidDataError, match="no label"):
        evaluation.observe(0, -1)
    run(evaluation, truth)
    with pytest.raises(ConflictError, match="baseline"):
        book.propose("next", old, old)
    with pytest.raises(ConflictError, match="already"):
        book.set_baseline("old", old)
    with pytest.raises(ConfigurationError, match="at least one"):
        ledger(0)
    with pytest.raises(ConfigurationError, match="adaptivity"):
        ledger(adaptivity="hybrid")


def test_the_protocol_is_frozen_in_the_state():
    truth, old, new = world()
    book = ledger()
    evaluation = book.propose("new", new, old)
    for index in evaluation.wanted(20):
        evaluation.observe(index, int(truth[index]))
    state = book.state()
    plain = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
    assert json.loads(json.dumps(plain)) == plain
    again = TestSetLedger.from_state(state)
    run(again.evaluation, truth)
    run(evaluation, truth)
    assert again.verdict_of("new") == evaluation.verdict
    final, other = book.state(), again.state()
    assert all(np.array_equal(final[key], other[key]) for key in final)


def test_emocontext_history():
    if not DATA.is_dir():
        pytest.skip(f"no reference data in {DATA}")
    with (DATA / "emocontext_commits.csv").open(newline="") as file:
        table = np.array(list(csv.reader(file))[1:], dtype=int)
    truth, commits = table[:, 0], table[:, 1:].T
    book = ledger(len(truth), condition="n - o > 0.02 +/- 0.02", reliability=0.998, steps=7, adaptivity="none")
    book.set_baseline("commit_1", commits[0])
    for number, predictions in enumerate(commits[1:], start=2):
        evaluation = book.propose(f"commit_{number}", predictions)
        run(evaluation, truth)
        # the true gains over the first commit are all within [0.01, 0.035]: nothing may be refuted wrongly
        gain = float((predictions == truth).mean() - (commits[0] == truth).mean())
        assert evaluation.verdict.outcome != ("PASSED" if gain <= 0.02 - 0.015 else "FAILED")
    assert book.labels_bought <= 780
