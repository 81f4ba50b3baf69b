"""A trial that is cut off goes on where it was, with the result it would have had."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
from sklearn.datasets import load_wine

from easeml.automl import families
from easeml.automl import trial as work
from easeml.automl.checkpoint import Checkpoint
from easeml.automl.families import train
from easeml.automl.portfolio import ARMS
from easeml.automl.race import Examples, Race, folds_of
from easeml.automl.trial import Labelled
from easeml.stream.payloads import Column, ColumnKind, TrialAssigned

RACED = 4
WINE = load_wine(as_frame=True)
COLUMNS = tuple(Column(name, ColumnKind.NUMERIC) for name in WINE.data)
CLASSES = ("barolo", "grignolino", "barbera")


def rows(part):
    return Labelled(WINE.data.iloc[part], WINE.target.to_numpy(np.int32)[part])


TRAIN, VALIDATION = rows(slice(0, None, 2)), rows(slice(1, None, 2))


def assigned(cpu_seconds=100.0):
    return TrialAssigned(
        "cellar",
        "t1",
        "committee",
        "committee",
        f'{{"arms": {RACED}}}',
        "d",
        100.0,
        "v1",
        89,
        89,
        cpu_seconds=cpu_seconds,
    )


def run(tmp_path, checkpoints, **changes):
    store = ((tmp_path / "store").as_uri(), 10_000_000)
    where = None if checkpoints is None else str(checkpoints)
    return work.run(assigned(**changes), TRAIN, VALIDATION, COLUMNS, CLASSES, store, None, where)


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Let a trial begin in a process that is gone before its fourth algorithm; return the folder and a count."""
    log = tmp_path / "trained"
    log.touch()

    def counted(arm, *given, dying=False):
        names = log.read_text().split()
        if dying and len(set(names) | {arm.algorithm}) > 3:
            os._exit(9)
        log.write_text(" ".join([*names, arm.algorithm]))
        return train(arm, *given)

    folder = tmp_path / "checkpoints"
    monkeypatch.setattr(families, "train", lambda *given: counted(*given, dying=True))
    arguments = (assigned(), TRAIN, VALIDATION, COLUMNS, CLASSES, Checkpoint(folder, "t1"))
    process = multiprocessing.get_context("fork").Process(target=work._made, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 9
    monkeypatch.setattr(families, "train", counted)
    log.write_text("")
    return folder, log


def test_a_trial_that_was_cut_off_judges_only_what_is_left(begun, tmp_path):
    folder, log = begun
    spent = Checkpoint(folder, "t1").spent
    assert spent > 0
    result = run(tmp_path, folder)
    names = log.read_text().split()
    first, later = [{arm.algorithm for arm in part} for part in (ARMS[:3], ARMS[3:RACED])]
    assert later <= set(names)
    assert max(names.count(name) for name in first) <= 1, "trained on all rows at most, and judged no more"
    assert result.cpu_seconds > spent
    assert not list(folder.iterdir()), "it has ended"
    whole = run(tmp_path, None)
    assert result.stored == whole.stored
    assert {**result.metrics, "cpu_seconds": 0} == {**whole.metrics, "cpu_seconds": 0}


def test_what_was_spent_counts_towards_the_limit(begun, tmp_path):
    folder, _ = begun
    (own,) = folder.iterdir()
    (own / "spent").write_text("50.0")
    result = run(tmp_path, folder, cpu_seconds=40.0)
    assert result.cpu_seconds > 50
    assert result.stored is not None or "CPU seconds" in result.error


@pytest.mark.parametrize("spoil", [b"nan", b"\x93NUMPY", b"\x80\x04pickle"])
def test_files_that_cannot_be_read_are_as_if_they_were_not_there(begun, tmp_path, spoil):
    folder, log = begun
    (own,) = folder.iterdir()
    for file in own.iterdir():
        file.write_bytes(spoil)
    result = run(tmp_path, folder)
    assert {arm.algorithm for arm in ARMS[:RACED]} <= set(log.read_text().split())
    assert result.stored == run(tmp_path, None).stored


def test_other_rows_or_parameters_are_judged_anew(tmp_path):
    memory = Checkpoint(tmp_path, "t")
    codes = TRAIN.labels.astype(np.int64)
    matrix = TRAIN.frame.to_numpy()
    trained = []

    def fit(arm, shown, labels):
        trained.append(arm.algorithm)
        return train(arm, 0, shown, labels)

    def race(matrix, arms=ARMS[:2]):
        trained.clear()
        examples = Examples(matrix, codes, folds_of(codes, 0))
        one = Race(examples, examples, classes=3, fit=fit, memory=memory)
        return [one.run(arm) for arm in arms]

    before = race(matrix)
    assert set(trained) == {"lda", "logistic"}
    again = race(matrix)
    assert not trained
    for one, other in zip(before, again, strict=True):
        assert (one is None) == (other is None)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert (one.accuracy, one.log_loss) == (other.accuracy, other.log_loss)
    race(matrix + 1)
    assert set(trained) == {"lda", "logistic"}
    race(matrix, [ARMS[1].__class__("logistic", "logistic", '{"C": 2.0}', 0.1)])
    assert trained


def test_only_the_last_trials_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("easeml.automl.checkpoint._KEPT", 3)
    for place in range(6):
        Checkpoint(tmp_path, f"t{place}").put("arm", np.zeros(2))
        newest = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (place, place))
    assert len(list(tmp_path.iterdir())) == 3
    assert Checkpoint(tmp_path, "t5").get("arm") is not None
    assert Checkpoint(tmp_path, "t0").get("arm") is None


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    kept = Checkpoint(tmp_path / "file", "t")
    kept.put("arm", np.zeros(2))
    assert (kept.get("arm"), kept.spent) == (None, 0.0)
    kept.remove()
