"""However rows, candidates and answers of one pillar are interleaved, the same relation is read."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.relation import Relation, RelationView
from easeml.relation.arrivals import Arrivals
from easeml.relation.proposals import batch_of
from easeml.stream.payloads import Answer, AppDefined, Column, ColumnKind, Pillar, QuestionKind

COLUMNS = (
    Column("size", ColumnKind.NUMERIC),
    Column("city", ColumnKind.CATEGORICAL, ("Zug", "Bern")),
    Column("note", ColumnKind.TEXT),
    Column("paid", ColumnKind.BOOLEAN),
)
APP = AppDefined("shop", "bought", ("no", "yes"), COLUMNS)
ROWS = tuple(f"r{place}" for place in range(8))
SAID = {
    "size": ("1", "1.0", "7e2"),
    "city": ("Zug", "Uri", "Genf", "Aarau"),
    "note": ("said so", ""),
    "paid": ("true", "False"),
    "bought": ("no", "yes"),
}
READ = {"size": float, "paid": lambda text: text == "true"}


def rows(start, stop, seed):
    rng = np.random.default_rng(seed)
    count = stop - start
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(count) < 0.5, np.nan, rng.integers(9, size=count)),
            "city": rng.choice(np.array(["Zug", "Bern", None], object), count),
            "note": rng.choice(np.array(["a", "b", None], object), count),
            "paid": rng.choice(np.array([True, False, None], object), count),
            "bought": rng.choice(np.array(["no", "yes", None], object), count),
        }
    )
    relation = Relation.from_frame(
        frame, label="bought", classes=APP.classes, columns=COLUMNS, row_ids=ROWS[start:stop]
    )
    return next(iter(relation.to_batches("shop", Pillar.TRAIN, f"v{seed}")))


def candidates(place, column, source):
    values = SAID[column][:1] if column in ("city", "note") else SAID[column][::2]
    frame = pd.DataFrame({"row_id": ROWS[place], "column": column, "value": values, "probability": 1 / len(values)})
    whole = Relation.from_batches([rows(0, len(ROWS), 0)], label="bought")
    return next(iter(batch_of(whole.merge_candidates(frame, source=source), source, "shop", Pillar.TRAIN)))


def answer(place, column, said):
    text = SAID[column][said % len(SAID[column])]
    kind = QuestionKind.LABEL if column == "bought" else QuestionKind.CELL
    named = None if column == "bought" else column
    return Answer("shop", f"{place}-{column}", kind, Pillar.TRAIN, ROWS[place], -2, text, "cpclean", 1, named)


PLACE = st.integers(0, len(ROWS) - 1)
BATCHES = st.lists(
    st.builds(lambda a, b, s: rows(min(a, b), max(a, b) + 1, s), PLACE, PLACE, st.integers(0, 2)),
    min_size=1,
    max_size=3,
)
PROPOSED = st.lists(
    st.builds(candidates, PLACE, st.sampled_from(("size", "city")), st.sampled_from(("a", "b"))), max_size=3
)
ANSWERS = st.lists(st.builds(answer, PLACE, st.sampled_from(sorted(SAID)), st.integers(0, 3)), max_size=8)


def interleaved(topics, order):
    """Return the events of topics as one stream; within a topic they keep their order."""
    queues = [list(topic) for topic in topics]
    while any(queues):
        ready = [queue for queue in queues if queue]
        yield ready[order.draw(st.integers(0, len(ready) - 1))].pop(0)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(topics=st.tuples(BATCHES, PROPOSED, ANSWERS), order=st.data())
def test_any_interleaving_reads_the_same(topics, order):
    made = []
    for known in (COLUMNS, ()):
        view = RelationView("bought", APP.classes, known)
        for said in interleaved(topics, order):
            view.fold(said)
        made.append(view.relation())
    arrivals = Arrivals()
    for place, said in enumerate(interleaved(topics, order)):
        arrivals.add(f"e{place}", said)
    read = arrivals.relation(APP)
    made.append(read.take(np.argsort(np.array(read.row_ids, object))))
    first, *others = made
    for other in others:
        assert (other.columns, other.row_ids) == (first.columns, first.row_ids)
        assert other.content_hash() == first.content_hash()
    settled = {(said.row_id, said.column or "bought"): said.text for said in topics[2] if said.row_id in first.row_ids}
    for (row_id, column), text in settled.items():
        assert first.frame().loc[row_id, column] == READ.get(column, str)(text)
        assert not (first.candidates()[["row_id", "column"]] == (row_id, column)).all(axis=1).any()
    named = {text for (_, column), text in settled.items() if column == "city"} - {"Zug", "Bern"}
    assert first.columns[1].categories == ("Zug", "Bern", *sorted(named))
