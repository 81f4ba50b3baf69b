"""Rows that may not go where they were sent are told, and the others go on."""

from dataclasses import replace

import pandas as pd
import pytest
from datamagic_town import APP, Town, csv, frame, upload

from easeml.datamagic.ingestion.assignment import Known
from easeml.datamagic.ingestion.fitting import Rules, fit
from easeml.datamagic.ingestion.shelf import Digests
from easeml.datamagic.versions import contents
from easeml.errors import InvalidDataError
from easeml.stream.payloads import Pillar


def table(rows=6):
    return (
        frame(rows)
        .assign(
            id=[f"r{at}" for at in range(rows)],
            g=[f"c{at % 3}" for at in range(rows)],
        )
        .set_axis(pd.RangeIndex(2, 2 + rows, name="line"), axis=0)
    )


def test_an_id_of_an_earlier_slice_came_before():
    known = Known(given=[Digests.of(contents.hashed(ids)) for ids in (["r1", "other"], ["r4"])])
    fitted = fit(table().drop(columns="g"), Rules(APP, None, "id", "", "p", known=known))
    assert list(map(str, fitted.rejects)) == [f"line {at}, column 'id': this id came before" for at in (3, 6)]
    assert fitted.relation.row_ids == ("r0", "r2", "r3", "r5")


def test_a_group_of_another_judging_pillar_stays_there():
    groups = {Pillar.TRAIN: Digests.of(contents.hashed(["c1"])), Pillar.TEST: Digests.of(contents.hashed(["c2"]))}
    known = Known(groups=groups)
    fitted = fit(table().drop(columns="id"), Rules(APP, Pillar.TEST, "", "g", "p", known=known))
    assert [one.where for one in fitted.rejects] == ["line 3", "line 6"]
    assert "rows of this group are in train" in str(fitted.rejects[0])
    for pillar in (None, Pillar.POOL):
        assert fit(table().drop(columns="id"), Rules(APP, pillar, "", "g", "p", known=known)).rejects == ()


def test_labels_of_rejected_test_rows_are_not_told(town):
    content = frame(60).astype(object)
    content.loc[5, "bought"] = "SECRET"
    town.send(upload(csv(content), pillar="test"))
    assert "line 7, column 'bought': its class is not known to the app" in town.runs()[-1].message
    assert not any("SECRET" in run.message for run in town.runs())
    assert not any("SECRET" in version.change for version in town.versions())


def test_test_rows_need_no_labels_where_an_app_pays_for_asking():
    bare, paying = table().drop(columns=["bought", "id", "g"]), replace(APP, test_label_budget=100)
    fitted = fit(bare, Rules(paying, Pillar.TEST, "", "", "p"))
    assert (len(fitted.relation), fitted.rejects) == (6, ())
    assert (fitted.relation.labels == -1).all()
    some = table().drop(columns=["id", "g"]).astype(object)
    some.loc[[3, 5], "bought"] = None
    some.loc[4, "bought"] = "maybe"
    fitted = fit(some, Rules(paying, Pillar.TEST, "", "", "p"))
    assert [str(one) for one in fitted.rejects] == ["line 4, column 'bought': its class is not known to the app"]
    assert (fitted.relation.labels < 0).sum() == 2
    with pytest.raises(InvalidDataError, match="easeml apps update shop --test-label-budget N"):
        fit(bare, Rules(APP, Pillar.TEST, "", "", "p"))
    with pytest.raises(InvalidDataError, match="no label column 'bought'") as caught:
        fit(bare, Rules(paying, Pillar.TRAIN, "", "", "p"))
    assert "--test-label-budget" not in str(caught.value)


@pytest.mark.parametrize("labelled", [0, 40])
def test_uploaded_test_rows_tell_the_labels_that_they_have(labelled):
    town = Town(app=replace(APP, test_label_budget=100))
    content = frame(120)
    if labelled:
        content.loc[labelled:, "bought"] = None
    else:
        content = content.drop(columns="bought")
    town.send(upload(csv(content), pillar="test"))
    assert {pillar: len(rows) for pillar, rows in town.rows().items()} == {Pillar.TEST: 120}
    assert len(town.labels()) == labelled
    assert all(not len(batch.labels) for batch in town.batches(Pillar.TEST))
    assert town.runs()[-1].message == ""
