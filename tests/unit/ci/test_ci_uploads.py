"""From a file of test rows without labels to a verdict: DataMagic reads it, CI asks for what the verdict needs."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "datamagic_service"))

from datamagic_town import APP, csv, frame, upload

from easeml.ci.service import CIService
from easeml.datamagic.service import DataMagicService
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import Answer, ModelPublished, Pillar, PredictionBatch
from easeml.stream.topics import (
    APPS,
    CI_ANSWERS,
    CI_QUESTIONS,
    DATA_TEST,
    DATA_TEST_LABELS,
    MODELS,
    PREDICTIONS,
    UPLOADS_TEST,
    VERDICTS,
    VERDICTS_DETAIL,
)

CONDITION = "n - o > 0 +/- 0.15 and n[colour=red] - o[colour=red] > 0 +/- 0.2"
ASKING = replace(APP, condition=CONDITION, reliability=0.9, steps=2, test_label_budget=2000)
ROWS = 1500


def test_rows_uploaded_without_labels_are_asked_about_and_judged_by_slice():
    cluster = MemoryCluster([DataMagicService(("memory://uploads",)), CIService()])
    cluster.publish(APPS, ASKING)
    table = frame(ROWS)
    truth, table = (table["bought"] == "yes").to_numpy().astype(np.int32), table.drop(columns="bought")
    names = [f"t{number}" for number in range(ROWS)]
    cluster.publish(UPLOADS_TEST, upload(csv(table.assign(id=names)), pillar="test", id_column="id"))
    cluster.run()
    assert sum(len(event.data.row_ids) for event in cluster.events(DATA_TEST)) == ROWS
    assert cluster.events(DATA_TEST_LABELS) == []
    first = np.where(np.random.default_rng(0).random(ROWS) < 0.4, 1 - truth, truth).astype(np.int32)
    red = (table["colour"] == "red").to_numpy()
    for name, codes in (("first", first), ("not red", np.where(red, 1 - truth, truth)), ("better", truth)):
        published = ModelPublished("shop", name, "t", "", "", 0, "external", ("x",), ASKING.classes, "v", "external")
        cluster.publish(MODELS, published)
        for at in range(0, ROWS, 500):
            rows = tuple(names[at : at + 500])
            batch = PredictionBatch("shop", name, Pillar.TEST, rows, codes[at : at + 500].astype(np.int32))
            cluster.publish(PREDICTIONS, batch)
    cluster.tick(40)
    answered = set()
    while waiting := [
        event.data
        for event in cluster.events(CI_QUESTIONS)
        if event.data.question not in answered and event.data.expires_at is None
    ]:
        for asked in waiting:
            answered.add(asked.question)
            code = int(truth[int(asked.row_id[1:])])
            text = ASKING.classes[code]
            said = Answer("shop", asked.question, asked.kind, asked.pillar, asked.row_id, code, text, "ci", 1)
            cluster.publish(CI_ANSWERS, said)
        cluster.run()
    bits = [(event.data.model, event.data.signal) for event in cluster.events(VERDICTS)]
    assert bits == [("first", False), ("not red", False), ("better", True)]
    truths = [[clause.truth for clause in event.data.clauses] for event in cluster.events(VERDICTS_DETAIL)]
    assert (truths[0][1], truths[1]) == ("false", ["true", "true"])
    assert 0 < len(answered) < ROWS / 2
