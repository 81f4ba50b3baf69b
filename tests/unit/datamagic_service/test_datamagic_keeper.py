"""The keeper: what changes a pillar makes a version, what says nothing new does not."""

from dataclasses import replace

import numpy as np
import pytest
from datamagic_town import APP, CLASSES, COLUMNS, Town, csv, frame, upload

from easeml.datamagic.versions import contents
from easeml.datamagic.versions.ledger import Ledger
from easeml.datamagic.versions.naming import life_of
from easeml.relation import Relation
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    CandidateKind,
    DataVersion,
    Pillar,
    QuestionKind,
)
from easeml.stream.topics import ANSWERS, APPS, CANDIDATES, DATA_TRAIN, DATA_VERSIONS


def rows(start=0, stop=10, version="cleaner-1", seed=0):
    part = frame(100, seed).iloc[start:stop]
    ids = tuple(f"r{place}" for place in range(start, stop))
    relation = Relation.from_frame(part, label="bought", classes=CLASSES, columns=COLUMNS, row_ids=ids)
    (batch,) = relation.to_batches(APP.app, Pillar.TRAIN, version)
    return batch


def cells(row="r3", values=("1.0", "2.0"), probabilities=(0.25, 0.75), column="y", **options):
    count = len(values)
    return CandidateBatch(
        APP.app,
        options.pop("pillar", Pillar.TRAIN),
        options.pop("source", "cleaner@1"),
        (column,),
        (row,),
        values,
        row=np.zeros(count, np.int32),
        column=np.zeros(count, np.int32),
        probability=np.array(probabilities),
        **options,
    )


def answer(row="r3", text="yes", **options):
    return Answer(
        APP.app, f"q-{row}-{text}", QuestionKind.LABEL, Pillar.TRAIN, row, CLASSES.index(text), text, "x", 1, **options
    )


def announced(batch, count, version=None):
    return DataVersion(APP.app, batch.pillar, version or batch.version, count, "0" * 64, "first")


@pytest.fixture
def known(town):
    """A town whose rows are announced by their publisher."""
    town.cluster.publish(DATA_TRAIN, rows())
    town.cluster.publish(DATA_VERSIONS, announced(rows(), 10))
    town.cluster.tick(8)
    assert len(town.versions()) == 1
    return town


def test_announced_rows_need_no_further_version(known):
    known.cluster.tick(20)
    assert len(known.versions()) == 1
    known.cluster.restart("datamagic")
    known.cluster.tick(20)
    assert len(known.versions()) == 1


def test_rows_of_a_publisher_that_announces_by_itself_are_left_to_it(town):
    town.cluster.publish(DATA_TRAIN, rows(version="vab12-0123456789ab"))
    town.cluster.tick(20)
    assert town.versions() == []


def test_uploads_announce_themselves(town):
    town.send(upload(csv(frame())))
    town.cluster.tick(20)
    assert len(town.versions()) == 3


def test_rows_that_nobody_announces_get_a_version(town):
    town.cluster.publish(DATA_TRAIN, rows())
    town.cluster.tick(4)
    assert town.versions() == []
    town.cluster.tick(4)
    (version,) = town.versions()
    assert (version.rows, version.pillar, version.parents) == (10, Pillar.TRAIN, ())
    assert version.content_hash == contents.hexadecimal(contents.total(contents.row_contents(rows())))
    assert version.version.startswith("vab12-")
    town.cluster.publish(DATA_TRAIN, rows(10, 20))
    town.cluster.tick(8)
    assert [(v.rows, v.parents) for v in town.versions()[1:]] == [(20, (version.version,))]


@pytest.mark.parametrize(
    ("topic", "thing", "says"),
    [(CANDIDATES, cells(), "1 with candidates"), (ANSWERS, answer(), "1 answers")],
    ids=["candidates", "answer"],
)
def test_what_is_known_of_cells_makes_a_version_once_the_pillar_rests(known, topic, thing, says):
    known.cluster.publish(topic, thing)
    known.cluster.tick()
    assert len(known.versions()) == 1
    known.cluster.tick(2)
    version = known.versions()[-1]
    assert says in version.change
    assert (version.rows, version.parents) == (10, ("cleaner-1",))
    known.cluster.publish(topic, thing)
    known.cluster.tick(8)
    assert len(known.versions()) == 2, "the same again is nothing new"
    known.cluster.restart("datamagic")
    known.cluster.tick(8)
    assert len(known.versions()) == 2


def test_a_pillar_that_never_rests_gets_a_version_in_time(known):
    for place in range(9):
        known.cluster.publish(ANSWERS, answer(f"r{place}"))
        known.cluster.tick()
    assert 2 <= len(known.versions()) <= 3


def test_candidates_of_unknown_rows_wait_for_them(known):
    known.cluster.publish(CANDIDATES, cells("r15"))
    known.cluster.tick(8)
    assert len(known.versions()) == 1
    known.cluster.publish(DATA_TRAIN, rows(10, 20, "cleaner-2"))
    known.cluster.publish(DATA_VERSIONS, announced(rows(), 20, "cleaner-2"))
    known.cluster.tick(3)
    assert "1 with candidates" in known.versions()[-1].change


def test_what_a_source_says_again_replaces_what_it_said(known):
    known.cluster.publish(CANDIDATES, cells())
    known.cluster.tick(3)
    first = known.versions()[-1]
    known.cluster.publish(CANDIDATES, cells(values=("1.0", "5.0")))
    known.cluster.tick(3)
    known.cluster.publish(CANDIDATES, cells(source="other@1"))
    known.cluster.tick(3)
    names = [v.version for v in known.versions()]
    assert len(set(names)) == 4
    known.cluster.publish(CANDIDATES, cells())
    known.cluster.tick(3)
    assert known.versions()[-1].version != first.version, "the other source still speaks"
    fresh = Town()
    fresh.cluster.publish(CANDIDATES, cells(source="other@1"))
    fresh.cluster.publish(CANDIDATES, cells())
    fresh.cluster.publish(DATA_TRAIN, rows())
    fresh.cluster.publish(DATA_VERSIONS, announced(rows(), 10))
    fresh.cluster.tick(8)
    last, other = fresh.versions()[-1], known.versions()[-1]
    assert (last.version, last.content_hash, last.rows) == (other.version, other.content_hash, other.rows)


def test_versions_of_a_new_life_have_other_names(known):
    known.cluster.publish(ANSWERS, answer())
    known.cluster.tick(3)
    other = Town(app=replace(APP, life="cd34"))
    other.cluster.publish(DATA_TRAIN, rows())
    other.cluster.publish(DATA_VERSIONS, announced(rows(), 10))
    other.cluster.publish(ANSWERS, answer())
    other.cluster.tick(8)
    one, two = known.versions()[-1], other.versions()[-1]
    assert one.content_hash == two.content_hash
    assert one.version != two.version


def test_content_is_by_name_not_by_code():
    batch = rows()
    columns = (*COLUMNS[:2], replace(COLUMNS[2], categories=("red", "blue")))
    turned = replace(batch, columns=columns, codes=1 - batch.codes, classes=("yes", "no"), labels=1 - batch.labels)
    assert contents.row_contents(turned) == contents.row_contents(batch)
    assert contents.row_contents(replace(batch, labels=1 - batch.labels)) != contents.row_contents(batch)


def test_candidates_and_alternatives_belong_to_the_content():
    relation = Relation.from_batches([rows()], label="bought")
    table = cells_table()
    richer = relation.merge_candidates(table, source="s")
    (plain,), (with_cells,) = (r.to_batches(APP.app, Pillar.TRAIN, "v") for r in (relation, richer))
    one, two = contents.row_contents(plain), contents.row_contents(with_cells)
    assert [one[at : at + 32] == two[at : at + 32] for at in range(0, 320, 32)] == [place != 3 for place in range(10)]
    (joint,) = richer.joint(k=4).to_batches(APP.app, Pillar.TRAIN, "v")
    three = contents.row_contents(joint)
    assert [two[at : at + 32] == three[at : at + 32] for at in range(0, 320, 32)] == [p != 3 for p in range(10)]


def cells_table():
    import pandas as pd

    return pd.DataFrame({"row_id": ["r3", "r3"], "column": ["y", "y"], "value": [1.0, 2.0], "probability": [0.5, 0.5]})


BAD = {
    "probabilities sum to 0.9": (cells(probabilities=(0.25, 0.65)), "bad_candidates", "Row 'r3', column 'y'"),
    "a probability of 1.5": (cells(probabilities=(1.5, -0.5)), "bad_candidates", "Row 'r3', column 'y'"),
    "probability NaN": (cells(probabilities=(float("nan"), 1.0)), "bad_candidates", "Row 'r3', column 'y'"),
    "unknown column": (cells(column="z"), "unknown_column", "'z'"),
    "a word for a number": (cells(values=("1", "many")), "bad_candidates", "'many'"),
    "infinite": (cells(values=("1", "inf")), "bad_candidates", "'inf'"),
    "foreign class": (cells(values=("no", "perhaps"), column="bought"), "bad_candidates", "'perhaps'"),
    "labels of test rows": (cells(values=("no", "yes"), column="bought", pillar=Pillar.TEST), "labels_not_allowed", ""),
    "no source": (cells(source=""), "bad_candidates", "without a source"),
    "a value too few": (replace(cells(), values=("1",)), "bad_candidates", "values holds 1"),
    "row beyond": (replace(cells(), row=np.array([0, 7], np.int32)), "bad_candidates", "row points beyond"),
    "missing beyond": (replace(cells(), missing=np.array([2], np.int32)), "bad_candidates", "missing points"),
    "row twice": (replace(cells(), row_ids=("r3", "r3")), "duplicate_row", "'r3' occurs twice"),
    "rows of no sum": (
        replace(cells(), kind=CandidateKind.ROWS, column=np.empty(0, np.int32), probability=np.array([0.5, 0.4])),
        "bad_candidates",
        "Row 'r3'",
    ),
    "a row's odd value": (
        replace(cells(values=("1", "x")), kind=CandidateKind.ROWS, column=np.empty(0, np.int32)),
        "bad_candidates",
        "'x'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_candidates_are_given_up_and_leave_no_trace(known, case):
    batch, reason, says = BAD[case]
    known.cluster.publish(CANDIDATES, batch)
    known.cluster.tick(8)
    ((found, message),) = known.letters(CANDIDATES)
    assert found == reason
    assert says in message
    assert len(known.versions()) == 1


def test_whole_rows_and_missing_values_are_candidates_too(known):
    rowwise = replace(
        cells(values=("1", "")), kind=CandidateKind.ROWS, column=np.empty(0, np.int32), missing=np.array([1], np.int32)
    )
    known.cluster.publish(CANDIDATES, rowwise)
    known.cluster.tick(8)
    assert known.letters(CANDIDATES) == []
    assert len(known.versions()) == 2


def test_rows_that_a_larger_definition_admits_count_from_then_on(known):
    columns = (*COLUMNS[:2], replace(COLUMNS[2], categories=("blue", "red", "green")))
    batch = replace(rows(10, 12, "more"), columns=columns)
    known.cluster.publish(DATA_TRAIN, batch)
    known.cluster.tick(8)
    assert len(known.versions()) == 1
    assert known.letters(DATA_TRAIN)[0][0] == "unknown_category"
    known.cluster.publish(APPS, AppDefined(**{n: getattr(APP, n) for n in AppDefined.__slots__} | {"columns": columns}))
    known.cluster.tick(8)
    before = known.versions()
    known.cluster.restart("datamagic")
    known.cluster.tick(8)
    assert known.versions() == before


def strangers(town):
    return [run.message for run in town.runs() if run.job == "datamagic.candidates"]


@pytest.mark.parametrize("restart", [False, True])
def test_candidates_of_rows_that_never_come_are_told_once_with_row_and_column(known, monkeypatch, restart):
    monkeypatch.setattr("easeml.datamagic.versions.ledger.STRANGE_SECONDS", 20.0)
    known.cluster.publish(CANDIDATES, cells())
    known.cluster.publish(CANDIDATES, cells("r99"))
    known.cluster.publish(CANDIDATES, cells("late"))
    known.cluster.publish(CANDIDATES, cells("elsewhere", pillar=Pillar.POOL))
    known.cluster.tick(15)
    assert strangers(known) == []
    late = frame(1, 3)
    relation = Relation.from_frame(late, label="bought", classes=CLASSES, columns=COLUMNS, row_ids=("late",))
    known.cluster.publish(DATA_TRAIN, relation.to_batches(APP.app, Pillar.TRAIN, "cleaner-2")[0])
    if restart:
        known.cluster.restart("datamagic")
    known.cluster.tick(20)
    (message,) = strangers(known)
    assert "row 'r99', column 'y'" in message
    assert "'cleaner@1'" in message
    assert "train" in message
    known.cluster.restart("datamagic")
    known.cluster.tick(20)
    assert len(strangers(known)) == 1
    assert known.versions()[-1].rows == 11


def test_candidates_wait_while_their_pillar_has_no_rows(town, monkeypatch):
    monkeypatch.setattr("easeml.datamagic.versions.ledger.STRANGE_SECONDS", 5.0)
    town.cluster.publish(CANDIDATES, cells())
    town.cluster.tick(20)
    assert strangers(town) == []
    town.cluster.publish(DATA_TRAIN, rows())
    town.cluster.tick(20)
    assert strangers(town) == []
    assert "1 with candidates" in town.versions()[-1].change


@pytest.mark.parametrize("first", [True, False])
def test_a_strangers_copy_under_the_same_id_hides_no_batch_of_our_own(first):
    """An upload waits for its own batches: one that somebody copied to another topic or source must not be theirs."""
    ledger = Ledger()
    batch = rows(0, 5)
    for own in (first, not first, first, not first):
        ledger.rows("an id", batch, own=own)
    assert len(ledger.own(replace(APP, life=life_of(batch.version)))) == 1
    assert ledger.content(APP).rows == 5
