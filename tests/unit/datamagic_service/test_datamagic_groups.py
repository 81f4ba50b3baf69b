"""Groups stay on one side, also when there are more of them than are remembered."""

import pandas as pd
import pytest
from datamagic_town import APP, Town, csv, frame, upload

from easeml.datamagic.ingestion import memory
from easeml.relation import Relation


def sides(town, *tables):
    """Return the pillars of each group, by the x of its rows."""
    group = {x: g for table in tables for x, g in zip(table["x"], table["g"], strict=True)}
    found = {}
    for pillar in town.rows():
        for batch in town.batches(pillar):
            for x in Relation.from_batches([batch]).frame()["x"]:
                found.setdefault(group[x], set()).add(pillar)
    return found


@pytest.mark.parametrize("most", [10_000, 250, 20])
def test_groups_stay_on_one_side_however_many_are_remembered(monkeypatch, most):
    monkeypatch.setattr(memory, "MOST_GROUPS", most)
    tables = [frame(300, seed=n).assign(g=[f"c{(at + 100 * n) % 400}" for at in range(300)]) for n in range(3)]
    town = Town()
    for place, table in enumerate(tables):
        town.send(upload(csv(table), upload_id=f"u{place}", group_column="g", seed=place, repairs=0))
    assert town.letters() == []
    found = sides(town, *tables)
    assert len(pd.unique(pd.concat(tables)["g"])) == len(found) == 400
    assert all(len(pillars) == 1 for pillars in found.values())
    state = town.cluster.state("datamagic", APP.app)
    assert sum(map(len, state.groups.values())) <= most


@pytest.mark.parametrize("most", [10_000, 120, 20, 0])
def test_named_pillars_split_no_group_either(monkeypatch, most):
    monkeypatch.setattr(memory, "MOST_GROUPS", most)
    tables = [frame(200, seed=n).assign(g=[f"c{(at + 100 * n) % 400}" for at in range(200)]) for n in range(4)]
    tables.append(frame(200, seed=4).assign(g=[f"{'cd'[at % 2]}{at}" for at in range(200)]))
    town = Town()
    for place, (table, pillar) in enumerate(zip(tables, ("train", "", "test", "", "validation"), strict=True)):
        town.send(upload(csv(table), upload_id=f"u{place}", group_column="g", seed=place, repairs=0, pillar=pillar))
    found = sides(town, *tables)
    assert all(len(pillars) == 1 for pillars in found.values())
    assert town.letters() == []
    told = "\n".join(run.message for run in town.runs())
    assert ("more groups than are remembered" in told) == (most < 400)
    assert sum(map(len, town.cluster.state("datamagic", APP.app).groups.values())) <= most
    before = town.rows()
    town.cluster.restart("datamagic")
    town.send(upload(csv(tables[0].tail(50)), upload_id="u9", group_column="g", seed=9, repairs=0))
    assert all(len(pillars) == 1 for pillars in sides(town, *tables).values())
    assert len(town.rows()) == len(before)
