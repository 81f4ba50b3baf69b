"""The drifting file in the order in which it was recorded, as messages through the picker's service."""

from __future__ import annotations

import numpy as np
from picker_stream import Votes

from easeml.modelpicker.service import ModelPickerService
from easeml.stream.memory import MemoryCluster
from easeml.stream.topics import ANSWERS, APPS, PICKS, PREDICTIONS, QUESTIONS, VERDICTS

BATCH, BUDGET = 5, 180


def streamed(app, votes, truth):
    """Stream all rows, answer after every batch; return the share of rows that the picks had right."""
    drift = Votes(app, votes, truth, BUDGET)
    cluster = MemoryCluster([ModelPickerService()])
    cluster.publish(APPS, drift.app)
    for verdict in drift.verdicts():
        cluster.publish(VERDICTS, verdict)
    cluster.run()
    answered = set()
    for start in range(0, len(truth), BATCH):
        for batch in drift.predictions(start, start + BATCH):
            cluster.publish(PREDICTIONS, batch)
        cluster.run()
        picker = cluster.state("modelpicker", app).picker
        if picker.labels_used > len(answered):
            for question in [event.data for event in cluster.events(QUESTIONS)]:
                if question.question not in answered:
                    answered.add(question.question)
                    cluster.publish(ANSWERS, drift.answer(question))
            cluster.run()
    picker = cluster.state("modelpicker", app).picker
    assert len(answered) == picker.labels_used == picker.labels_answered == BUDGET
    assert picker.rows_seen == len(truth)
    assert cluster.dead_letters(PREDICTIONS) == cluster.dead_letters(ANSWERS) == []
    return drift.served([event.data for event in cluster.events(PICKS)])


def test_picks_follow_the_drift_for_exactly_the_budget(reference_data):
    with np.load(reference_data / "modelpicker" / "drift.npz") as file:
        votes, truth = file["predictions"], file["labels"]
    # no model alone has more than .61 right
    assert np.mean([streamed(f"drift{number}", votes, truth) for number in range(2)]) >= 0.74
