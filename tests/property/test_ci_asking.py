"""However labels of test rows come in, given or asked for, late, twice or out of turn: the verdicts are the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.ci import TestSetLedger
from easeml.ci.gate import OPEN_QUESTIONS, Gate
from easeml.ci.register import Register
from easeml.ids import EventId
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    Column,
    ColumnKind,
    Pillar,
    PredictionBatch,
    Question,
    RelationBatch,
    TestLabels,
    VerdictDetail,
)
from easeml.stream.payloads import Verdict as Bit

N, CLASSES = 120, ("a", "b", "c")
ROWS = tuple(map(str, range(N)))
SEED = 7
LEFT = np.arange(N) % 3 > 0
SIDE = Column("side", ColumnKind.CATEGORICAL, ("left", "right"))
CONDITIONS = (
    "n - o > 0 +/- 0.2",
    "n > 0.5 +/- 0.2",
    "n - o > 0.02 +/- 0.15 and d < 0.8 +/- 0.1",
    "n > 0.4 +/- 0.2 and n[side=left] - o[side=left] > 0 +/- 0.3",
)


class Play:
    """A gate, what it has said, and the people who answer."""

    def __init__(self, condition: str, truth: np.ndarray, given_rows: list[int]) -> None:
        self.app = AppDefined(
            "churn", "y", CLASSES, (SIDE,), condition=condition, reliability=0.8, steps=3, test_label_budget=500
        )
        self.gate, self.register, self.truth = Gate("churn"), Register(), truth
        self.said: list = []
        self.told: list[Answer] = []
        if given_rows:
            rows = tuple(str(row) for row in given_rows)
            self.register.add_labels(TestLabels("churn", "v", rows, CLASSES, truth[given_rows]))
        self.asked_rows: set[str] = set()
        codes = np.where(LEFT, 0, 1).astype(np.int32)
        self.register.cells.add(EventId("rows"), RelationBatch("churn", Pillar.TEST, "v", (SIDE,), ROWS, codes=codes))

    def proceed(self, tick: float | None = None) -> None:
        said = self.gate.proceed(self.register, self.app, 0.0, np.random.default_rng(SEED), tick=tick)
        for one in said:
            if isinstance(one, Question) and one.expires_at is None:
                assert one.row_id not in {answer.row_id for answer in self.told}, "a label is bought once"
        self.said += said
        open_ = self.open()
        assert len(open_) <= OPEN_QUESTIONS
        order = [int(one.question.rsplit("-", 1)[1]) for one in open_]
        assert sorted(order) == [int(self.turn(one)) for one in sorted(open_, key=lambda one: one.question)]

    def turn(self, asked: Question) -> int:
        assert self.gate.ledger is not None
        place = np.flatnonzero(self.gate.epochs == 1).tolist().index(int(asked.row_id))
        return self.gate.ledger.order.tolist().index(place)

    def open(self) -> list[Question]:
        answered = {answer.question for answer in self.told}
        waiting = {one.question: one for one in self.said if isinstance(one, Question)}
        return [one for name, one in waiting.items() if one.expires_at is None and name not in answered]

    def model(self, name: str, codes: np.ndarray) -> None:
        self.register.add_predictions(PredictionBatch("churn", name, Pillar.TEST, ROWS, codes))
        self.gate.enqueue(name, None)
        self.proceed()

    def answer(self, asked: Question) -> Answer:
        code = int(self.truth[int(asked.row_id)])
        return Answer("churn", asked.question, asked.kind, asked.pillar, asked.row_id, code, CLASSES[code], "ci", 1)

    def hear(self, answer: Answer) -> None:
        self.told.append(answer)
        self.gate.answered(self.register, answer)
        self.proceed()


def oracle(play: Play, models: dict[str, np.ndarray]) -> list[tuple]:
    """Return the verdicts of a ledger that has every label from the beginning."""
    app = play.app
    rng, places = np.random.default_rng(SEED), np.flatnonzero(play.gate.epochs == 1)
    truth, models = play.truth[places], {name: codes[places] for name, codes in models.items()}
    protocol = {"condition": app.condition, "reliability": app.reliability, "steps": app.steps}
    ledger = TestSetLedger(len(places), **protocol, slices={"side=left": LEFT[places]}, rng=rng)
    names = iter(models.items())
    if ledger.condition.uses_old:
        ledger.set_baseline(*next(names))
    found = []
    for name, codes in names:
        evaluation = ledger.propose(name, codes)
        while evaluation.verdict is None:
            wanted = evaluation.wanted(1)
            ledger.observe_many(wanted, truth[wanted].tolist())
        verdict = evaluation.verdict
        found.append((name, verdict.outcome.lower(), verdict.signal, verdict.labels_used))
    return found


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_verdicts_do_not_depend_on_how_labels_come_in(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    condition = data.draw(st.sampled_from(CONDITIONS))
    truth = rng.integers(3, size=N).astype(np.int32)
    given_rows = sorted(data.draw(st.sets(st.integers(0, N - 1), max_size=40)))
    play = Play(condition, truth, given_rows)
    models = {
        name: np.where(rng.random(N) < right, truth, (truth + rng.integers(1, 3, N)) % 3).astype(np.int32)
        for name, right in (("first", 0.5), ("second", 0.8), ("third", 0.6))
    }
    for name, codes in models.items():
        play.model(name, codes)
    play.proceed(tick=0.0)
    play.proceed(tick=40.0)
    for _ in range(1000):
        open_ = play.open()
        if not open_:
            break
        chosen = data.draw(st.integers(0, len(open_) - 1)) if len(play.told) < 30 else 0
        play.hear(play.answer(open_[chosen]))
        if len(play.told) < 30 and data.draw(st.booleans()):
            play.hear(data.draw(st.sampled_from(play.told)))  # again
        if len(play.told) % 7 == 0:
            play.gate = Gate.unpack(play.gate.pack())
    details = [one for one in play.said if isinstance(one, VerdictDetail)]
    found = [(d.model, d.outcome.value, d.signal, d.labels_used + d.labels_reused) for d in details]
    assert found == oracle(play, models)
    assert [(bit.model, bit.signal) for bit in play.said if isinstance(bit, Bit) and bit.guaranteed] == [
        (name, signal) for name, _, signal, _ in found
    ]
    taken_back = {one.question for one in play.said if isinstance(one, Question) and one.expires_at is not None}
    asked = {one.question for one in play.said if isinstance(one, Question)}
    assert asked == taken_back ^ {answer.question for answer in play.told}
