"""A question goes to as many different people as its app wants, whatever they do with it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from easeml.labels.leases import Leases
from easeml.labels.offers import Filter, room, select
from easeml.labels.queue import Queue
from easeml.stream.payloads import Annotation, Answer, Pillar, Question, QuestionKind

PEOPLE = ("ada", "bob", "cy", "dee", "eve")
KEY = ("a", "q")
LEASE = 60.0

steps = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.sampled_from(("claim", "release", "answer", "answer", "skip", "wait")),
        st.integers(0, 1),
    ),
    max_size=40,
)


class Office:
    """One question, people who claim it, answer it, pass it on or walk away, and the rules of the label service."""

    def __init__(self, people: int) -> None:
        self.queue = Queue("a", people, grants={"label_budget": 1.0})
        self.leases, self.now, self.answers, self.sent = Leases(), 0.0, [], 0
        probabilities = np.array([0.5, 0.5])
        asked = ("r", ("no", "yes"), 1.0, "modelpicker")
        self.queue.ask(Question("a", "q", QuestionKind.LABEL, Pillar.POOL, *asked, probabilities=probabilities), 0.0)

    @property
    def entry(self):
        return self.queue.open.get("q")

    def holders(self):
        return self.leases.holders(KEY, self.now)

    def working(self):
        """Return who has claimed the question and said nothing yet."""
        return {*self.holders()} - {*self.entry.votes} - {*self.entry.skipped_by}

    def offered(self, who):
        return bool(select([self.queue], Filter("a", None, who), lambda *_: self.holders()).offered)

    def say(self, who, value):
        self.sent += 1
        annotation = Annotation("a", "q", who, f"r{self.sent}", value=value)
        self.answers += [out for out in self.queue.annotate(annotation, self.now) if isinstance(out, Answer)]

    def act(self, who, does, value):
        if does == "wait":
            self.now += LEASE
        elif does == "release":
            self.leases.release(KEY, who)
        elif does == "claim":
            if room(self.queue, self.entry, who, self.holders()):
                self.leases.claim(KEY, who, now=self.now, seconds=LEASE)
        elif self.offered(who):
            self.say(who, value if does == "answer" else -1)


@given(st.integers(1, 4), steps)
def test_no_more_people_work_on_a_question_than_it_needs(people, plan):
    office = Office(people)
    for who, does, value in plan:
        office.act(who, does, value)
        if office.entry is None:
            break
        votes, skipped = office.entry.votes, office.entry.skipped_by
        wanted = max(people - len(votes), 1)
        # Somebody may have claimed it before others, who had not, answered it anyway: a claim is no lock.
        free = len(office.working()) < wanted
        for other in PEOPLE:
            heard = other in votes or other in skipped
            assert office.offered(other) == (
                not heard and (free or (other in office.holders() and len(office.working()) <= wanted))
            )
    if office.entry is None:
        (answer,) = office.answers
        assert answer.annotators >= people
        assert office.queue.spent == {"modelpicker": 1.0}


@given(st.integers(1, 4), st.permutations(PEOPLE), st.lists(st.integers(0, 1), min_size=5, max_size=5))
def test_people_who_take_what_they_are_offered_are_as_many_as_needed_and_more_only_while_they_disagree(
    people, order, values
):
    office = Office(people)
    heard = []
    for who, value in zip(order, values, strict=True):
        if office.entry is None:
            break
        assert office.offered(who)
        office.act(who, "claim", 0)
        office.act(who, "answer", value)
        heard.append(value)
    if office.entry is None:
        (answer,) = office.answers
        assert answer.annotators == len(heard)
        assert answer.value == int(2 * sum(heard) > len(heard))
        for n in range(people, len(heard)):
            assert 2 * sum(heard[:n]) == n  # nobody was asked after enough had agreed
    else:
        assert len(heard) < people or 2 * sum(heard) == len(heard)


@given(st.integers(1, 4))
def test_as_many_claim_at_once_as_are_needed(people):
    office = Office(people)
    for who in PEOPLE:
        office.act(who, "claim", 0)
    assert office.holders() == PEOPLE[:people]
    assert [who for who in PEOPLE if office.offered(who)] == list(PEOPLE[:people])
    office.act("ada", "answer", 1)
    if people > 1:  # the claim of whoever has answered leaves no gap
        assert [who for who in PEOPLE if office.offered(who)] == list(PEOPLE[1:people])
        office.act("bob", "skip", 0)
        assert [who for who in PEOPLE if office.offered(who)] == list(PEOPLE[2:])
    assert (office.entry is None) == (people == 1)


@given(st.lists(st.lists(st.integers(0, 1), max_size=4), min_size=1, max_size=5), st.integers(1, 4), st.integers(0, 4))
def test_fewer_people_needed_means_that_those_heard_decide_within_the_budget(said, people, granted):
    """Lowering the number decides what would have been decided, and nothing else."""
    queue = Queue("a", 5, grants={"label_budget": float(granted)})
    for n, values in enumerate(said):
        asked = ("r", ("no", "yes"), 1.0, "modelpicker")
        queue.ask(Question("a", f"q{n}", QuestionKind.LABEL, Pillar.POOL, *asked, probabilities=np.empty(0)), 0.0)
        for who, value in zip(PEOPLE, values, strict=False):
            queue.annotate(Annotation("a", f"q{n}", who, f"{who}{n}", value=value), 1.0)
    outputs = queue.hear(people)
    answers = [output for output in outputs if isinstance(output, Answer)]
    assert len(answers) <= granted
    assert all(answer.annotators >= people for answer in answers)
    decided = sum(len(set(values)) == 1 and len(values) >= people for values in said)
    assert granted == 0 or len(answers) >= min(decided, granted)
    assert queue.hear(people) == []
    assert queue.hear(people + 1) == []
