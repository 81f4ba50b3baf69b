"""A study that follows a relation: rows that came, changed or went are all it looks at again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from easeml.relation import Relation
from easeml.snoopy.features import Encoding
from easeml.snoopy.inputs import Inputs
from easeml.snoopy.report import FeasibilityReport
from easeml.snoopy.study import FeasibilityStudy


class Following:
    """The study of one app's labelled rows.

    Encoding and study are made anew when the labelled rows have doubled or the columns have changed; until then a later
    relation costs what is different in it.

    Parameters
    ----------
    seed : int
        Of the order in which rows are read.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._columns: object = None
        self._encoded = 0
        self._known: dict[str, tuple[bytes, int]] = {}
        self._encoding: Encoding
        self._study: FeasibilityStudy

    def follow(self, relation: Relation) -> None:
        """Take the rows as they are now.

        Raises
        ------
        InvalidDataError
            When no row has a label, there are fewer than two classes, or there is no feature column.
        """
        columns = (relation.columns, relation.classes)
        if columns == self._columns:
            inputs, labels, row_ids = self._encoding.rows(relation)
            if len(row_ids) < 2 * self._encoded:
                self._change(inputs, labels, row_ids)
                return
        self._encoding = Encoding.of(relation)
        inputs, labels, row_ids = self._encoding.rows(relation)
        self._study = FeasibilityStudy(len(relation.classes), rng=np.random.default_rng(self._seed))
        self._study.hold(inputs, labels, row_ids)
        self._study.restart()
        self._columns, self._encoded = columns, len(row_ids)
        self._known = _contents(inputs, labels, row_ids)

    def _change(self, inputs: Inputs, labels: npt.NDArray[np.int64], row_ids: tuple[str, ...]) -> None:
        before, self._known = self._known, _contents(inputs, labels, row_ids)
        added, edited, relabelled = [], [], []
        for place, row_id in enumerate(row_ids):
            old, new = before.get(row_id), self._known[row_id]
            if old is None:
                added.append(place)
            elif old[0] != new[0]:
                edited.append(place)
            elif old[1] != new[1]:
                relabelled.append(place)
        gone = [row_id for row_id in before if row_id not in self._known]
        if gone or edited:
            self._study.remove([*gone, *(row_ids[place] for place in edited)])
        if relabelled:
            self._study.relabel([row_ids[place] for place in relabelled], labels[relabelled])
        if added or edited:
            places = np.array(added + edited, np.int64)
            self._study.add(inputs.take(places), labels[places], [row_ids[place] for place in places.tolist()])

    def read_on(self, seconds: float, clock: Callable[[], float]) -> None:
        """Let arms read until this time is over, at least one of them."""
        until = clock() + seconds
        for job in iter(self._next, None):
            self._study.take(job, job.run())
            if clock() >= until:
                return

    def _next(self) -> object:
        return next(iter(self._study.jobs()), None)

    def report(self, target_accuracy: float, model_error: float | None) -> FeasibilityReport:
        """Return what the study says now; errors as those of ``FeasibilityStudy.report``."""
        return self._study.report(target_accuracy, model_error=model_error)


def _contents(inputs: Inputs, labels: npt.NDArray[np.int64], row_ids: tuple[str, ...]) -> dict[str, tuple[bytes, int]]:
    return dict(zip(row_ids, zip(inputs.digests(b""), labels.tolist(), strict=True), strict=True))
