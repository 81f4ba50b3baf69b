"""Ask for the labels that help most: rows come, questions go out, answers come back, within a budget."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.market.belief import label_information
from easeml.market.choice import POLICIES, Choice, Known, choose
from easeml.market.inputs import check_k, label_codes
from easeml.market.neighbours import Floats, Ints
from easeml.market.pool import NamedRows
from easeml.market.prediction import Forecast, resemblance


class Batch(NamedTuple):
    """Questions to ask now, best first.

    Parameters
    ----------
    row_ids : tuple of str
        Pool rows.
    information_gain : ndarray of float64, shape (b,)
        Bits, see :mod:`easeml.market.information`.
    cost : ndarray of float64, shape (b,)
        Price of each label; information gain per cost ranks questions of all services in one list.
    probabilities : ndarray of float64, shape (b, c)
        Belief about the labels.
    predicted : ndarray of float64, shape (b,)
        Predicted Shapley values.
    value_trust, resemblance_trust : float
        In [0, 1]: how far the forecasts behind the filter could be trusted; near 0: the filter kept all.
    """

    row_ids: tuple[str, ...]
    information_gain: Floats
    cost: Floats
    probabilities: Floats
    predicted: Floats
    value_trust: float
    resemblance_trust: float

    def __len__(self) -> int:
        return len(self.row_ids)


class Acquisition:
    """Chooses pool rows to be labelled.

    Everything is kept by row id, so an event that comes twice changes nothing. Features are encoded and standardised;
    when they are encoded anew, :meth:`reload` takes all rows again and keeps the questions and the budget.

    Parameters
    ----------
    policy : str
        ``filter_margin``, ``filter_diverse``, ``value``, ``margin`` or ``random``, see :mod:`easeml.market.choice`.
    budget : float
        What all labels may cost together.
    price : float, optional
        Of a label whose row brings no price of its own; by default 1.
    n_classes : int
        Classes, at least 2.
    k : int
        Neighbours of the Shapley values.
    rng : Generator
        All randomness.

    Attributes
    ----------
    answers : dict of str to int
        Classes of the pool rows answered.

    Raises
    ------
    ConfigurationError

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> market = Acquisition(budget=3, n_classes=2, rng=rng)
    >>> market.add_owned(["a", "b"], [[0.0], [1.0]], [0, 1])
    >>> market.add_pool(["p", "q", "r"], [[0.1], [0.5], [0.9]])
    >>> market.next(1).row_ids
    ('q',)
    >>> market.answer("q", 1), market.answer("q", 1), market.spent
    (True, False, 1.0)
    """

    def __init__(
        self,
        policy: str = "filter_margin",
        budget: float = math.inf,
        price: float | None = None,
        *,
        n_classes: int,
        k: int = 5,
        rng: np.random.Generator,
    ) -> None:
        check_k(k)
        if policy not in POLICIES:
            raise ConfigurationError(f"policy={policy!r} does not exist.", mend=f"Use one of {', '.join(POLICIES)}.")
        if n_classes < 2:
            raise ConfigurationError(f"{n_classes} classes cannot be told apart.", mend="Give at least two.")
        if not budget >= 0:
            raise ConfigurationError(f"budget={budget!r} is none.", mend="Use a number >= 0.")
        self.policy, self.budget, self.n_classes, self.k = policy, float(budget), int(n_classes), int(k)
        self.price = 1.0 if price is None else float(price)
        _check_prices(np.array([self.price]))
        self._paid = 0.0
        self.answers: dict[str, int] = {}
        self._rng = rng
        self._open: dict[str, float] = {}
        self._withdrawn: dict[str, None] = {}
        self._clear()

    def _clear(self) -> None:
        self._owned, self._pool, self._validation = (NamedRows(what) for what in ("training", "pool", "validation"))
        self._alike: Forecast | None = None

    @property
    def open(self) -> dict[str, float]:
        """Price of each question that waits for its answer."""
        return dict(self._open)

    @property
    def spent(self) -> float:
        """Price of what was asked and not withdrawn."""
        return self._paid + math.fsum(self._open.values())

    @property
    def left(self) -> float:
        """What may still be spent, >= 0."""
        return max(self.budget - self.spent, 0.0)

    @property
    def owned(self) -> tuple[Floats, Ints]:
        """Features and classes of all labelled rows: given ones, then answered ones in their order of arrival."""
        places = [place for row, place in self._answered_places() if row not in self._owned]
        # a row that was published as a training row too counts once
        codes = [self.answers[self._pool.ids[place]] for place in places]
        if not places:
            return self._owned.x, self._owned.number.astype(np.int64)
        x = self._owned.x if len(self._owned) else np.empty((0, self._pool.x.shape[1]))
        return np.vstack([x, self._pool.x[places]]), np.append(self._owned.number.astype(np.int64), codes)

    @property
    def validation(self) -> tuple[Floats, Ints]:
        """Features and classes of the validation rows."""
        return self._validation.x, self._validation.number.astype(np.int64)

    def add_owned(self, row_ids: Sequence[str], x: npt.ArrayLike, y: npt.ArrayLike) -> None:
        """Take labelled training rows, or other labels or features of known ones.

        Parameters
        ----------
        row_ids : sequence of str
        x : array_like, shape (n, d)
        y : array_like of int, shape (n,)
            Class codes.

        Raises
        ------
        InvalidDataError
        """
        self._owned.put(row_ids, x, self._codes(y, row_ids, "training"), self._width())

    def add_validation(self, row_ids: Sequence[str], x: npt.ArrayLike, y: npt.ArrayLike) -> None:
        """Take validation rows; parameters as for :meth:`add_owned`."""
        self._validation.put(row_ids, x, self._codes(y, row_ids, "validation"), self._width())
        self._alike = None

    def add_pool(self, row_ids: Sequence[str], x: npt.ArrayLike, price: npt.ArrayLike | None = None) -> None:
        """Take rows that may be asked about.

        Parameters
        ----------
        row_ids : sequence of str
        x : array_like, shape (n, d)
        price : array_like of float, shape (n,), optional
            Of their labels, > 0; by default the app's price.

        Raises
        ------
        InvalidDataError
        """
        prices = np.full(len(row_ids), self.price) if price is None else np.asarray(price, np.float64)
        _check_prices(prices)
        self._pool.put(row_ids, x, prices, self._width())
        self._alike = None

    def reload(
        self,
        owned: tuple[Sequence[str], npt.ArrayLike, npt.ArrayLike],
        validation: tuple[Sequence[str], npt.ArrayLike, npt.ArrayLike],
        pool: tuple[Sequence[str], npt.ArrayLike, npt.ArrayLike | None],
    ) -> None:
        """Take all rows anew, encoded otherwise; questions, answers and the budget stay.

        Parameters are those of :meth:`add_owned`, :meth:`add_validation` and :meth:`add_pool`.

        Raises
        ------
        InvalidDataError
            Nothing is changed then.
        """
        before = self._owned, self._pool, self._validation, self._alike
        self._clear()
        try:
            self.add_owned(*owned)
            self.add_validation(*validation)
            self.add_pool(*pool)
        except InvalidDataError:
            self._owned, self._pool, self._validation, self._alike = before
            raise

    def next(self, batch: int = 1, *, taken: Collection[str] = ()) -> Batch:
        """Choose the next questions and set their price aside.

        Parameters
        ----------
        batch : int
            Questions at most; fewer when the pool or the budget ends.
        taken : collection of str
            Pool rows that are not to be asked about, besides those that were.

        Raises
        ------
        ConfigurationError
            When ``batch`` is negative.
        """
        if batch < 0:
            raise ConfigurationError(f"{batch} questions cannot be asked.", mend="Use a number >= 0.")
        places = self._choosable(taken)
        known = self._known(places, {*self._open, *taken})
        alike = self._resemblance()
        choice = choose(
            known, Forecast(alike.scores[places], alike.trust), batch, self.left, self.policy, self.k, self._rng
        )
        chosen = places[choice.rows]
        gains = label_information(known.x, known.y, known.pool[choice.rows], known.x_val, self.n_classes, self._rng)
        return self._ask(chosen, choice, gains)

    def _ask(self, chosen: Ints, choice: Choice, gains: Floats) -> Batch:
        names = tuple(self._pool.ids[place] for place in chosen.tolist())
        prices = self._pool.number[chosen]
        self._open.update(zip(names, prices.tolist(), strict=True))
        return Batch(
            names, gains, prices, choice.probabilities, choice.predicted, choice.value_trust, choice.resemblance_trust
        )

    def answer(self, row_id: str, label: int) -> bool:
        """Take the label of a pool row, asked about or not; late, out of order and repeated are all fine.

        Returns
        -------
        bool
            Whether it was new.

        Raises
        ------
        NotFoundError
            When the row is neither in the pool nor asked about.
        InvalidDataError
            When the class does not exist.
        ConflictError
            When the row has another label already.
        """
        code = int(label_codes([label], 1, "answered", self.n_classes)[0])
        known = self.answers.get(row_id)
        if known is not None:
            if known != code:
                raise ConflictError(f"Row {row_id!r} has label {known}, not {code}.", mend="The first one stands.")
            return False
        if row_id not in self._pool and row_id not in self._open and row_id not in self._withdrawn:
            raise NotFoundError(f"Row {row_id!r} is not in the pool.", mend="Answer rows that `next` named.")
        self._paid += self._open.pop(row_id, 0.0)
        self.answers[row_id] = code
        return True

    def withdraw(self, row_id: str) -> bool:
        """Take back a question that nobody will answer: its price returns to the budget, it is not asked again."""
        if self._open.pop(row_id, None) is None:
            return False
        self._withdrawn[row_id] = None
        return True

    def grant(self, budget: float) -> None:
        """Change the budget, counted from the start; one below what was spent ends the questions.

        Raises
        ------
        ConfigurationError
        """
        if not budget >= 0:
            raise ConfigurationError(f"budget={budget!r} is none.", mend="Use a number >= 0.")
        self.budget = float(budget)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able scalars, lists and mappings, and arrays; goes on bit for bit."""
        alike = self._alike
        return {
            "version": 1,
            "policy": self.policy,
            "budget": self.budget if math.isfinite(self.budget) else None,
            "price": self.price,
            "n_classes": self.n_classes,
            "k": self.k,
            "paid": self._paid,
            "answers": dict(self.answers),
            "open": dict(self._open),
            "withdrawn": list(self._withdrawn),
            "owned": self._owned.state(),
            "pool": self._pool.state(),
            "validation": self._validation.state(),
            "alike": None if alike is None else {"scores": alike.scores.copy(), "trust": alike.trust},
            "rng": deepcopy(self._rng.bit_generator.state),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the acquisition that :meth:`state` described."""
        generator = getattr(np.random, str(state["rng"]["bit_generator"]))()
        generator.state = state["rng"]
        budget = math.inf if state["budget"] is None else state["budget"]
        market = cls(
            state["policy"],
            budget,
            state["price"],
            n_classes=state["n_classes"],
            k=state["k"],
            rng=np.random.Generator(generator),
        )
        market._paid, market.answers = float(state["paid"]), dict(state["answers"])
        market._open, market._withdrawn = dict(state["open"]), dict.fromkeys(state["withdrawn"])
        for name in ("owned", "pool", "validation"):
            rows = getattr(market, f"_{name}")
            rows.restore(state[name])
        alike = state["alike"]
        market._alike = None if alike is None else Forecast(np.array(alike["scores"]), float(alike["trust"]))
        return market

    def _width(self) -> int | None:
        """Return the number of columns that the first rows brought."""
        return next((rows.x.shape[1] for rows in (self._owned, self._pool, self._validation) if len(rows)), None)

    def _codes(self, y: npt.ArrayLike, row_ids: Sequence[str], what: str) -> Ints:
        return label_codes(y, len(row_ids), what, self.n_classes)

    def _answered_places(self) -> list[tuple[str, int]]:
        return [(row, self._pool.place(row)) for row in self.answers if row in self._pool]

    def _choosable(self, taken: Collection[str]) -> Ints:
        closed = {*self.answers, *self._open, *self._withdrawn, *self._owned.ids, *taken}
        return np.array([place for place, row in enumerate(self._pool.ids) if row not in closed], np.int64)

    def _known(self, places: Ints, waiting: Collection[str]) -> Known:
        x, y = self.owned
        width = self._width() or 0
        x_val, y_val = self.validation
        asked = [place for place, row in enumerate(self._pool.ids) if row in waiting]
        return Known(
            x.reshape(len(y), width),
            y,
            self._pool.x[asked].reshape(len(asked), width),
            x_val.reshape(len(y_val), width),
            y_val,
            self._pool.x[places].reshape(len(places), width),
            self._pool.number[places],
            self.n_classes,
        )

    def _resemblance(self) -> Forecast:
        """Return the resemblance of all pool rows; grown again when rows have come."""
        if self._alike is None:
            if self.policy.startswith("filter"):
                self._alike = resemblance(self._validation.x, self._pool.x, self._rng)
            else:
                self._alike = Forecast(np.zeros(len(self._pool)), 0.0)
        return self._alike


def _check_prices(prices: Floats) -> None:
    bad = ~((prices > 0) & (prices < math.inf))
    if bad.any():
        raise InvalidDataError(
            f"A price of {prices[bad][0]} was given.", mend="Prices are finite and above 0, in labels."
        )
