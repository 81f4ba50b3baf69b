"""The feasibility study: rows and labels come and change, a report is there at any time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError
from easeml.progress import Progress
from easeml.snoopy.arm import Arm
from easeml.snoopy.inputs import Inputs
from easeml.snoopy.points import Points
from easeml.snoopy.race import Race
from easeml.snoopy.report import FeasibilityReport, check_target
from easeml.snoopy.summary import arm_report, summary
from easeml.snoopy.transformations import chosen
from easeml.stream.payloads import ArmState

LEAST_ROWS = 10
_STEPS = 20
"""Readings of an arm that reads all points."""
_ORDERS, _ORDER_CELLS = 4, 12_000_000
"""Further orders in which the best arm reads to smooth its curve, and distances that they may cost together."""
_RECOUNT = 64
"""From so many changed labels on, one recount is cheaper than following each."""


class FeasibilityStudy:
    """Leave-one-out errors of nearest neighbours under many transformations, exact after every change.

    What an arm's transformation learned stays until the distinct rows have doubled; then everything is read anew
    (``refit``). After ``refit`` the state depends on the rows, their labels and ``rng`` alone, not on the order or the
    batches in which they came; between two refits it also depends on which rows the last one saw. Cost of a batch
    O(new all d) per arm.

    Parameters
    ----------
    n_classes : int
        C, at least 2.
    transformations : "auto" or tuple of str
        Names from ``TRANSFORMATIONS``.
    rng : Generator
        Draws the order in which rows are read.
    halving : bool
        Whether arms that cannot win leave early (from 1,000 distinct rows on). They are back after the next refit.

    Raises
    ------
    InvalidDataError
        When there are fewer than two classes.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 200)
    >>> study = FeasibilityStudy(2, rng=rng)
    >>> study.add(rng.normal(size=(200, 2)) + 4 * labels[:, None], labels, [f"r{row}" for row in range(200)])
    >>> study.report(0.9).signal
    <FeasibilitySignal.REALISTIC: 'realistic'>
    """

    def __init__(
        self,
        n_classes: int,
        transformations: str | tuple[str, ...] = "auto",
        *,
        rng: np.random.Generator,
        halving: bool = True,
    ) -> None:
        if n_classes < 2:
            raise InvalidDataError(
                f"There {'is one class' if n_classes == 1 else 'are no classes'} only.",
                mend="Give rows of at least two classes: with one there is nothing to predict.",
                reason="one_class",
            )
        self.transformations = transformations
        self.halving = halving
        self.points = Points(n_classes, rng.bytes(16))
        self.arms: dict[str, Arm] = {}
        self.dropped: tuple[str, ...] = ()
        self._race: Race | None = None
        self._fitted = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arms."""
        return chosen(self.transformations, self.points.features())

    def add(self, features: Inputs | npt.ArrayLike, labels: npt.ArrayLike, row_ids: Sequence[str]) -> None:
        """Add labelled rows.

        Parameters
        ----------
        features : Inputs or float[n, d]
        labels : int[n]
            Class codes in 0..C-1.
        row_ids : sequence of str
            Identities, none of which is there already.

        Raises
        ------
        InvalidDataError
            When a value is not finite, a label out of range, an id comes twice or widths differ; nothing changes.
        """
        self.hold(features, labels, row_ids)
        if self.outgrown:
            self.refit()
        self._read_on()

    def hold(self, features: Inputs | npt.ArrayLike, labels: npt.ArrayLike, row_ids: Sequence[str]) -> None:
        """Take labelled rows as ``add`` does; arms read them with the next ``add`` or ``refit``."""
        inputs = Inputs.of(features)
        chosen(self.transformations, inputs)  # refuses unknown names and rows of no columns before anything changes
        self.points.add(inputs, _codes(labels), row_ids)
        for arm in self.arms.values():
            arm.recount()

    @property
    def outgrown(self) -> bool:
        """Whether the distinct rows have doubled since arms were fitted."""
        return len(self.points) >= max(2 * self._fitted, 1)

    def relabel(self, row_ids: Sequence[str], labels: npt.ArrayLike) -> None:
        """Give rows other labels. Neighbours stay who they are: a changed label costs microseconds per arm.

        Raises
        ------
        NotFoundError
            When there is no such row; nothing changes.
        InvalidDataError
            When a label is out of range or lengths differ; nothing changes.
        """
        codes = _codes(labels)
        if len(codes) != len(row_ids):
            raise InvalidDataError(f"There are {len(row_ids)} rows and {len(codes)} labels.", mend="Give one per row.")
        self.points.check(codes, row_ids)
        for row_id in row_ids:
            self.points.label(row_id)
        few = len(row_ids) <= _RECOUNT
        for row_id, new in zip(row_ids, codes.tolist(), strict=True):
            point, old = self.points.label(row_id)
            if few and old != new:
                for arm in self.arms.values():
                    arm.relabel(point, old, new, self.points.counts)
            self.points.relabel(row_id, new)
        if not few:
            for arm in self.arms.values():
                arm.recount()

    def remove(self, row_ids: Sequence[str]) -> None:
        """Remove rows; those whose neighbours they were look for others.

        Raises
        ------
        NotFoundError
            When there is no such row; nothing changes.
        """
        gone = self.points.remove(row_ids)
        for arm in self.arms.values():
            arm.remove(gone)
        self.points.drop(gone)
        if self._race is not None and gone.any():
            self.restart()

    def edit(self, row_ids: Sequence[str], features: Inputs | npt.ArrayLike) -> None:
        """Give rows other features.

        Raises
        ------
        NotFoundError, InvalidDataError
            As ``remove`` and ``add``.
        """
        inputs = Inputs.of(features)
        self.points.features().check_alike(inputs)
        labels = np.array([self.points.label(row_id)[1] for row_id in row_ids], np.int64)
        if len(inputs) != len(labels):
            raise InvalidDataError(f"There are {len(labels)} ids and {len(inputs)} rows.", mend="Give one id per row.")
        self.remove(row_ids)
        self.add(inputs, labels, row_ids)

    def refit(self, progress: Progress | None = None) -> None:
        """Fit every arm to the rows as they are, and read them anew.

        Parameters
        ----------
        progress : Progress, optional
            Told the points that arms have read, of those they would read without a race, and which arm is next.
        """
        self.restart()
        while self.read_on(progress):
            pass

    def restart(self) -> None:
        """Forget what arms have read; ``read_on`` reads it anew."""
        self.arms = {}
        self.dropped = ()
        self._race = None
        self._fitted = len(self.points)
        if self._fitted:
            self.points.sort()
            self._race = Race(self.names, self._fitted, halving=self.halving)

    @property
    def reading(self) -> bool:
        """Whether arms have points to read after ``restart``."""
        return self._race is not None

    def read_on(self, progress: Progress | None = None) -> bool:
        """Let one arm read its next part after ``restart``; arguments as ``refit``. False: all is read."""
        if self._race is None:
            return False
        points = self.points
        name, stop = next(iter(self._race.wanted().items()))
        if progress is not None:
            progress(sum(arm.read for arm in self.arms.values()), len(self.names) * len(points), name)
        if name not in self.arms:
            self.arms[name] = Arm.fitted(name, points.features(), points.keys)
        arm = self.arms[name]
        arm.read_to(self._stops(arm.read, stop), points.features(), points.keys, points.counts)
        self._tell(name)
        return self._race is not None

    def report(
        self, target_accuracy: float, *, noise_rate: float | None = None, model_error: float | None = None
    ) -> FeasibilityReport:
        """Return what the study says now.

        Parameters
        ----------
        target_accuracy : float, in (0, 1)
        noise_rate : float, optional
            Share of labels that were drawn anew, uniformly over the classes, [0, 1).
        model_error : float, optional
            Error of the best model so far, as validated.

        Raises
        ------
        InvalidDataError
            When the target is none, there are fewer than 10 rows or only one class, or all rows are equal.
        """
        target = check_target(target_accuracy)
        self.check()
        found = []
        for name in self.names:
            arm = self.arms.get(name)
            if arm is not None:
                arm.follow(self.points.counts)
            found.append(arm_report(name, arm, self._state(name, arm), len(self.points), self.points.classes))
        return summary(
            found,
            target,
            rows=self.points.rows,
            points=len(self.points),
            classes=self.points.classes,
            noise_rate=noise_rate,
            model_error=model_error,
        )

    def _tell(self, name: str) -> None:
        race = self._race
        if race is None:
            return
        arm = self.arms[name]
        race.tell(name, arm.read, arm.error)
        self.dropped = tuple(race.dropped)
        if race.wanted():
            return
        self._race = None
        best = self.arms[min(race.alive, key=lambda own: self.arms[own].error)]
        orders = min(_ORDERS, _ORDER_CELLS // best.read**2)
        best.average(orders, self._stops(0, best.read), self.points.counts)
        self._read_on()

    def _read_on(self) -> None:
        """Let the arms that are left read what has come; while they race they do so in the order of the race."""
        if self._race is not None:
            return
        points = self.points
        for name, arm in self.arms.items():
            if name not in self.dropped and arm.read < len(points):
                arm.follow(points.counts)
                arm.read_to([len(points)], points.features(), points.keys, points.counts)

    def _stops(self, start: int, stop: int) -> list[int]:
        step = max(math.ceil(self._fitted / _STEPS), LEAST_ROWS)
        return [*range(start - start % step + step, stop, step), stop]

    def _state(self, name: str, arm: Arm | None) -> ArmState:
        if name in self.dropped:
            return ArmState.DROPPED
        if arm is None:
            return ArmState.WAITING
        return ArmState.DONE if self._race is None and arm.read == len(self.points) else ArmState.RUNNING

    def check(self) -> None:
        """Refuse rows that tell nothing.

        Raises
        ------
        InvalidDataError
            When there are fewer than 10 rows or only one class, or all rows are equal.
        """
        points = self.points
        if points.rows < LEAST_ROWS:
            raise InvalidDataError(
                f"There {'is' if points.rows == 1 else 'are'} {points.rows} labelled row{'s'[: points.rows != 1]}; "
                f"a feasibility study needs {LEAST_ROWS}.",
                mend="Label more rows; some hundred tell something.",
                reason="too_few_rows",
            )
        if int((points.counts.sum(axis=0) > 0).sum()) < 2:
            raise InvalidDataError(
                "All rows have the same label: with one class there is nothing to predict.",
                mend="Add rows of the other classes, or name another label column.",
                reason="one_class",
            )
        if len(points) < 2:
            raise InvalidDataError(
                f"All {points.rows} rows are duplicates of one: no feature ever changes.",
                mend="Add columns that differ from row to row.",
                reason="constant_features",
            )


def estimate(
    features: Inputs | npt.ArrayLike,
    labels: npt.ArrayLike,
    target_accuracy: float,
    *,
    rng: np.random.Generator,
    n_classes: int | None = None,
    transformations: str | tuple[str, ...] = "auto",
    noise_rate: float | None = None,
    model_error: float | None = None,
    halving: bool = True,
    progress: Progress | None = None,
) -> FeasibilityReport:
    """Return whether data can reach a target accuracy.

    Parameters
    ----------
    features : Inputs or float[n, d]
    labels : int[n]
        Class codes.
    target_accuracy : float, in (0, 1)
    rng : Generator
        Draws the order in which rows are read.
    n_classes : int, optional
        C; by default one more than the largest code.
    transformations, halving
        As ``FeasibilityStudy``.
    noise_rate, model_error
        As ``FeasibilityStudy.report``.
    progress : Progress, optional
        As ``FeasibilityStudy.refit``.

    Raises
    ------
    InvalidDataError
        As ``FeasibilityStudy.add`` and ``report``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> found = estimate(rng.normal(size=(300, 3)), rng.integers(0, 2, 300), 0.9, rng=rng)
    >>> found.signal
    <FeasibilitySignal.UNREALISTIC: 'unrealistic'>
    """
    check_target(target_accuracy)
    codes = _codes(labels)
    classes = max(int(codes.max(initial=-1)) + 1, 2) if n_classes is None else n_classes
    study = FeasibilityStudy(classes, transformations, rng=rng, halving=halving)
    study.hold(features, codes, [str(row) for row in range(len(codes))])
    study.check()
    study.refit(progress)
    return study.report(target_accuracy, noise_rate=noise_rate, model_error=model_error)


def _codes(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    codes = np.asarray(labels)
    if codes.ndim != 1 or not (codes.dtype.kind in "iub" or not codes.size):
        raise InvalidDataError(
            f"Labels are {codes.dtype} of shape {codes.shape}, not one integer code per row.",
            mend="Give the place of each label among the classes.",
        )
    return codes.astype(np.int64)
