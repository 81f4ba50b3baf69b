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

FEW_ROWS = 1000
"""With fewer rows a new study costs little, and what it says depends on the rows alone."""


class Following:
    """The study of one app's labelled rows.

    Encoding and study are made anew when the labelled rows have doubled or the columns have changed, and while rows are
    few whenever anything but labels has; else a later relation costs what is different in it.

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
        if columns == self._columns and self._change(*self._encoding.rows(relation)):
            return
        self._encoding = Encoding.of(relation)
        inputs, labels, row_ids = self._encoding.rows(relation)
        self._study = FeasibilityStudy(len(relation.classes), rng=np.random.default_rng(self._seed))
        self._study.hold(inputs, labels, row_ids)
        self._study.restart()
        self._columns, self._encoded = columns, len(row_ids)
        self._known = _contents(inputs, labels, row_ids)

    def _change(self, inputs: Inputs, labels: npt.NDArray[np.int64], row_ids: tuple[str, ...]) -> bool:
        """Take over what differs; False: the study is to be made anew."""
        before, now = self._known, _contents(inputs, labels, row_ids)
        added = [place for place, row_id in enumerate(row_ids) if row_id not in before]
        kept = [place for place, row_id in enumerate(row_ids) if row_id in before]
        edited = [place for place in kept if before[row_ids[place]][0] != now[row_ids[place]][0]]
        gone = [row_id for row_id in before if row_id not in now]
        if len(row_ids) >= 2 * self._encoded or (len(row_ids) < FEW_ROWS and (added or edited or gone)):
            return False
        self._known = now
        if gone or edited:
            self._study.remove([*gone, *(row_ids[place] for place in edited)])
        fresh = {*added, *edited}
        relabelled = [place for place in kept if place not in fresh and before[row_ids[place]] != now[row_ids[place]]]
        if relabelled:
            self._study.relabel([row_ids[place] for place in relabelled], labels[relabelled])
        if fresh:
            places = np.array(sorted(fresh), np.int64)
            self._study.add(inputs.take(places), labels[places], [row_ids[place] for place in places.tolist()])
        return True

    @property
    def reading(self) -> bool:
        """Whether there are rows to read on."""
        return self._study.reading

    def read_on(self, seconds: float, clock: Callable[[], float]) -> None:
        """Let arms read until this time is over, at least one of them."""
        until = clock() + seconds
        while self._study.read_on() and clock() < until:
            pass

    def report(self, target_accuracy: float, model_error: float | None) -> FeasibilityReport:
        """Return what the study says now; errors as those of ``FeasibilityStudy.report``."""
        return self._study.report(target_accuracy, model_error=model_error)


def _contents(inputs: Inputs, labels: npt.NDArray[np.int64], row_ids: tuple[str, ...]) -> dict[str, tuple[bytes, int]]:
    return dict(zip(row_ids, zip(inputs.digests(b""), labels.tolist(), strict=True), strict=True))
