"""A stream of votes as messages: the app, its models, their predictions, and answers to questions."""

from __future__ import annotations

import numpy as np

from easeml.stream.payloads import Answer, AppDefined, Column, ColumnKind, Pillar, PredictionBatch, Verdict


class Votes:
    """Votes of models on rows r0, r1, ... of one app.

    Parameters
    ----------
    app : str
    votes : ndarray of int, shape (n, k)
    truth : ndarray of int, shape (n,)
    budget : int
    """

    def __init__(self, app, votes, truth, budget):
        self.votes, self.truth = votes.astype(np.int32), truth
        self.classes = tuple(f"c{code}" for code in range(max(int(votes.max()), int(truth.max())) + 1))
        self.models = tuple(f"m{number}" for number in range(votes.shape[1]))
        self.app = AppDefined(
            app,
            "y",
            self.classes,
            (Column("x", ColumnKind.NUMERIC),),
            label_budget=budget,
            horizon=len(votes),
            picker_policy="portfolio",
        )

    def verdicts(self):
        """Return what lets every model take part."""
        return [Verdict(self.app.app, model, signal=True, guaranteed=True) for model in self.models]

    def predictions(self, start, stop):
        """Return a batch per model."""
        rows = tuple(f"r{row}" for row in range(start, min(stop, len(self.votes))))
        return [
            PredictionBatch(self.app.app, model, Pillar.PRODUCTION, rows, own[start:stop])
            for model, own in zip(self.models, self.votes.T, strict=True)
        ]

    def answer(self, question):
        """Return the true answer."""
        code = int(self.truth[int(question.row_id[1:])])
        return Answer(
            question.app,
            question.question,
            question.kind,
            question.pillar,
            question.row_id,
            code,
            self.classes[code],
            question.asked_by,
            1,
        )

    def served(self, picks):
        """Return how often the pick of the moment was right, from picks in their order."""
        ends = [pick.rows_seen for pick in picks[1:]] + [len(self.truth)]
        said = [
            self.votes[pick.rows_seen : end, self.models.index(pick.model)]
            for pick, end in zip(picks, ends, strict=True)
        ]
        return (np.concatenate(said) == self.truth).mean()
