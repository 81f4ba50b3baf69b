"""From the annotations of several people to one answer: Dawid and Skene's model, learnt question by question.

Every annotator has one reliability (the one-coin form of the model): the chance to say the true value; a wrong one is
any other value with the same chance. A question is decided by the value that is most probable given all votes, and then
each annotator counts as right by the probability of what they said. Whoever is heard alone teaches nothing about
themselves.

Source: Dawid & Skene, Applied Statistics 28(1), 1979, equations 2.3 to 2.5, with one parameter per annotator and one
step of EM per question, in the order in which questions are decided, so that a replay decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from easeml.labels.votes import Vote

_RIGHT, _WRONG = 4.0, 1.0
"""Votes that an annotator nobody has seen is taken to have given: right four times of five."""
_MOST = 1000
"""Annotators who are remembered."""
_TIE = 1e-9


@dataclass(slots=True)
class Crowd:
    """How often each annotator was right, as far as the votes of others tell.

    Parameters
    ----------
    right, heard : dict of str to float
        By annotator: expected right votes, and votes.

    Examples
    --------
    >>> crowd = Crowd()
    >>> crowd.reliability("ada")
    0.8
    >>> votes = {"ada": 1, "bob": 0, "cy": 1, "dee": 1}
    >>> crowd.learn(votes, crowd.beliefs(votes, 2))
    >>> crowd.reliability("ada") > 0.8 > crowd.reliability("bob")
    True
    """

    right: dict[str, float] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)

    def reliability(self, annotator: str) -> float:
        """Return the chance that an annotator says the true value, in (0, 1)."""
        return (_RIGHT + self.right.get(annotator, 0.0)) / (_RIGHT + _WRONG + self.heard.get(annotator, 0.0))

    def beliefs(self, votes: Mapping[str, Vote], choices: int) -> dict[Vote, float]:
        """Return the probability of each value that somebody said.

        Parameters
        ----------
        votes : mapping of str to Vote
            By annotator.
        choices : int
            Values there are to choose from; those that nobody said share the rest of the probability.
        """
        said = tuple(dict.fromkeys(votes.values()))
        among = max(choices, len(said), 2)
        right = {name: math.log(self.reliability(name)) for name in votes}
        wrong = {name: math.log((1 - self.reliability(name)) / (among - 1)) for name in votes}
        logs = [
            math.fsum(right[name] if vote == value else wrong[name] for name, vote in votes.items()) for value in said
        ]
        unsaid = math.fsum(wrong.values())
        top = max(*logs, unsaid)
        weights = [math.exp(log - top) for log in logs]
        whole = math.fsum(weights) + (among - len(said)) * math.exp(unsaid - top)
        return {value: weight / whole for value, weight in zip(said, weights, strict=True)}

    def learn(self, votes: Mapping[str, Vote], beliefs: Mapping[Vote, float]) -> None:
        """Take in what became of a question that several people answered."""
        if len(votes) < 2:
            return
        for name, vote in votes.items():
            self.right[name] = self.right.pop(name, 0.0) + beliefs[vote]  # the one heard last stands last
            self.heard[name] = self.heard.pop(name, 0.0) + 1.0
        for name in list(self.right)[:-_MOST]:
            del self.right[name], self.heard[name]

    def decide(self, votes: Mapping[str, Vote], choices: int, people: int = 1) -> Vote | None:
        """Return the most probable value, and learn who is reliable; None: ask one more.

        Parameters
        ----------
        votes : mapping of str to Vote
            By annotator, in the order given.
        choices : int
            Values there are to choose from.
        people : int
            Annotators to hear at least. With 1 the first one decides. A tie asks one more annotator.

        Examples
        --------
        >>> Crowd().decide({"ada": 2}, 3)
        2
        >>> Crowd().decide({"ada": 2, "bob": 0}, 3, people=3) is None
        True
        >>> Crowd().decide({"ada": 2, "bob": 0}, 3, people=2) is None
        True
        >>> Crowd({"ada": 9.0, "bob": 1.0}, {"ada": 10.0, "bob": 10.0}).decide({"ada": 2, "bob": 0}, 3, people=2)
        2
        >>> Crowd().decide({"ada": "31.0", "bob": "31.0"}, 2, people=2)
        '31.0'
        """
        if len(votes) < people:
            return None
        beliefs = self.beliefs(votes, choices)
        first, *rest = sorted(beliefs.items(), key=lambda one: -one[1])
        if rest and first[1] - rest[0][1] < _TIE:
            return None
        self.learn(votes, beliefs)
        return first[0]
