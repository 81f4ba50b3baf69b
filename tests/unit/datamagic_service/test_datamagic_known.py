"""Ids of earlier slices and groups of other pillars, from the file to the report."""

import json

from datamagic_town import Town, csv, frame, upload

from easeml.datamagic.ingestion import uploads as work
from easeml.stream.payloads import Pillar, RunState


def test_ids_repeated_in_a_later_slice_are_rejected_by_line(monkeypatch):
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))
    table = frame(400).assign(id=[f"r{at}" for at in range(400)])
    table.loc[390, "id"] = "r5"
    town = Town()
    town.send(upload(csv(table), id_column="id", repairs=0))
    complete = town.runs()[-1]
    assert json.loads(complete.parameters["rejected"]) == 1
    assert "line 392, column 'id': this id came before" in complete.message


def test_a_group_in_train_is_not_sent_to_test(town):
    one = frame(100).assign(g=[f"c{at % 10}" for at in range(100)])
    two = frame(20, seed=3).assign(g=[f"c{at % 20}" for at in range(20)])
    town.send(upload(csv(one), group_column="g", pillar="train", repairs=0))
    town.send(upload(csv(two), upload_id="u2", group_column="g", pillar="test", repairs=0))
    assert len(town.rows()[Pillar.TEST]) == 10
    assert "are in train" in town.runs()[-1].message


def test_a_later_slice_of_nothing_but_repeated_ids_is_left_out_and_the_next_go_on(monkeypatch):
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))
    table = frame(600).assign(id=[f"r{at}" for at in range(600)])
    table.loc[200:399, "id"] = [f"r{at}" for at in range(200)]
    for pillar in ("", "train"):
        town = Town()
        town.send(upload(csv(table), id_column="id", repairs=0, pillar=pillar))
        assert town.letters() == []
        complete = town.runs()[-1]
        assert complete.state is RunState.COMPLETE
        assert json.loads(complete.parameters["rejected"]) == 200
        assert sum(map(len, town.rows().values())) == 400


def test_a_later_slice_of_rows_of_another_pillar_is_left_out(monkeypatch):
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))
    table = frame(600).assign(id=[f"r{at}" for at in range(600)])
    known = frame(200, seed=5).assign(id=[f"r{at}" for at in range(200, 400)])
    town = Town()
    town.send(upload(csv(known), upload_id="u0", id_column="id", repairs=0, pillar="train"))
    town.send(upload(csv(table), id_column="id", repairs=0, pillar="validation"))
    complete = town.runs()[-1]
    assert (complete.state, json.loads(complete.parameters["rejected"])) == (RunState.COMPLETE, 200)
    assert len(town.rows()[Pillar.VALIDATION]) == 400
