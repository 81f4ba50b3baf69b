"""Several annotators: the most probable value, and who is reliable, against the model's own arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easeml.labels.aggregation import Crowd
from easeml.labels.packing import pack, unpack
from easeml.labels.queue import Queue

NAMES = ("ada", "bob", "cy", "dee")


def enumerated(votes, reliability, choices):
    """Return P(value | votes) by enumeration over every value there is."""
    values = [*dict.fromkeys(votes.values())]
    values += [f"unsaid {n}" for n in range(max(choices, 2) - len(values))]
    likelihoods = {}
    for value in values:
        likelihoods[value] = math.prod(
            reliability[name] if vote == value else (1 - reliability[name]) / (len(values) - 1)
            for name, vote in votes.items()
        )
    whole = sum(likelihoods.values())
    return {value: likelihoods[value] / whole for value in dict.fromkeys(votes.values())}


@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), min_size=1),
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=4, max_size=4),
    st.integers(2, 6),
)
def test_beliefs_are_those_of_the_model(votes, past, choices):
    right = {name: min(pair) for name, pair in zip(NAMES, past, strict=True)}
    heard = {name: max(pair) for name, pair in zip(NAMES, past, strict=True)}
    crowd = Crowd(right, heard)
    reliability = {name: (4 + right[name]) / (5 + heard[name]) for name in NAMES}
    found = crowd.beliefs(votes, choices)
    assert found == pytest.approx(enumerated(votes, reliability, choices))
    assert list(found) == list(dict.fromkeys(votes.values()))


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), min_size=1), st.integers(1, 4))
def test_strangers_are_a_majority(votes, redundancy):
    said = Crowd().decide(votes, 3, redundancy)
    counts = sorted(((list(votes.values()).count(value), value) for value in set(votes.values())), reverse=True)
    decided = len(votes) >= redundancy and (len(counts) == 1 or counts[0][0] > counts[1][0])
    assert said == (counts[0][1] if decided else None)


def test_whoever_is_heard_alone_teaches_nothing():
    crowd = Crowd()
    assert crowd.decide({"ada": 1}, 2) == 1
    assert crowd == Crowd()


def test_who_is_reliable_is_learnt_and_outweighs_two_who_are_not():
    rng = np.random.default_rng(5)
    skill = {"ada": 0.95, "bob": 0.55, "cy": 0.55, "dee": 0.9}
    crowd = Crowd()
    weighed = counted = 0
    for truth in rng.integers(0, 2, 600).tolist():
        votes = {name: truth if rng.random() < p else 1 - truth for name, p in skill.items()}
        said = crowd.decide(votes, 2, people=4)
        weighed += said == truth
        ones = sum(votes.values())
        counted += (ones > 2) == bool(truth) and ones != 2
    learnt = {name: crowd.reliability(name) for name in skill}
    assert learnt == {name: pytest.approx(p, abs=0.05) for name, p in skill.items()}
    assert weighed / 600 > 0.92
    assert counted / 600 < 0.8
    assert crowd.decide({"ada": 1, "dee": 1, "bob": 0, "cy": 0}, 2, people=4) == 1


def test_only_the_latest_annotators_are_remembered():
    crowd = Crowd()
    for n in range(0, 2004, 2):
        votes = {f"person {n}": 1, f"person {n + 1}": 1}
        crowd.learn(votes, crowd.beliefs(votes, 2))
    assert len(crowd.right) == len(crowd.heard) == 1000
    assert "person 2003" in crowd.heard
    assert "person 0" not in crowd.heard


def test_what_was_learnt_survives_storage_and_decides_the_next_question(question, annotation):
    queue = Queue("churn", redundancy=2, grants={"label_budget": 9.0})
    for n in range(4):  # bob is outvoted again and again
        queue.ask(question(f"q{n}"), 1.0)
        for who, value in (("ada", 1), ("bob", 0), ("cy", 1)):
            queue.annotate(annotation(f"q{n}", annotator=who, value=value, request_id=f"{who}{n}"), 2.0)
    assert queue.crowd.reliability("ada") > queue.crowd.reliability("bob")
    again = unpack("churn", pack(queue))
    assert again.crowd == queue.crowd
    again.grants = queue.grants
    for one in (queue, again):
        one.ask(question("next"), 3.0)
        one.annotate(annotation("next", annotator="bob", value=0, request_id="b"), 4.0)
        said = one.annotate(annotation("next", annotator="ada", value=1, request_id="a"), 4.0)
        assert [(answer.value, answer.annotators) for answer in said if hasattr(answer, "annotators")] == [(1, 2)]
