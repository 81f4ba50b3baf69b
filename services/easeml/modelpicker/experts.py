"""Loss estimates of the models under one or several half-lives, and which of them to trust.

Each expert discounts the importance-weighted losses per row by its own half-life and would serve the model
with the least of them. The expert whose own served classes lost least lately leads.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError
from easeml.modelpicker.voting import MISSING, Floats, Votes, exponential_weights

AUTO = (100.0, 400.0, float("inf"))
"""Half-lives, in rows, of ``half_life="auto"``."""

_LEADER_HALF_LIFE = 400.0
_TEMPER = 0.25


def half_lives(half_life: float | str | None) -> tuple[float, ...]:
    """Return the half-lives that a setting stands for.

    Raises
    ------
    ConfigurationError
    """
    if half_life is None:
        return (float("inf"),)
    if half_life == "auto":
        return AUTO
    if isinstance(half_life, str) or not half_life > 0:
        raise ConfigurationError(
            f"half_life={half_life!r} does not exist.", mend='Use None, "auto" or a positive number of rows.'
        )
    return (float(half_life),)


class Experts:
    """Discounted losses L of k models under e half-lives.

    Parameters
    ----------
    half_lives : tuple of float
        In rows; infinity does not discount.
    k : int
        Models.

    Attributes
    ----------
    losses : ndarray of float64, shape (e, k)
    rows : ndarray of float64, shape (e,)
        Discounted number of rows t.
    regrets : ndarray of float64, shape (e,)
        Discounted losses of what each expert would have served.
    """

    def __init__(self, half_lives: tuple[float, ...], k: int) -> None:
        self.half_lives = half_lives
        self._discounts = np.exp2(-1.0 / np.array(half_lives))
        self.losses: Floats = np.zeros((len(half_lives), k))
        self.rows: Floats = np.zeros(len(half_lives))
        self.regrets: Floats = np.zeros(len(half_lives))

    @property
    def leader(self) -> int:
        """The expert to follow; the longest memory wins ties."""
        return int(len(self.regrets) - 1 - self.regrets[::-1].argmin())

    def rate(self, rows: Floats | float) -> Floats:
        """Return eta = sqrt(ln k / (2 t))."""
        k = self.losses.shape[1]
        rounds = np.maximum(np.asarray(rows, dtype=np.float64), 1.0)
        return np.asarray(np.sqrt(np.log(max(k, 1)) / (2 * rounds)), dtype=np.float64)

    def ahead(self, n: int) -> tuple[Floats, Floats]:
        """Return the leader's learning rates and posteriors for the next ``n`` rows without an answer.

        Returns
        -------
        rates : ndarray of float64, shape (n,)
        weights : ndarray of float64, shape (n, k)
        """
        leader, steps = self.leader, np.arange(1, n + 1)
        discount = self._discounts[leader]
        faded = discount**steps
        fresh = steps if discount == 1 else (1 - faded) / (1 - discount)
        rows = self.rows[leader] * faded + fresh
        rates = self.rate(rows)
        return rates, exponential_weights(self.losses[leader], rates * faded)

    def pass_rows(self, n: int) -> None:
        """Discount everything by ``n`` rows."""
        faded = self._discounts**n
        finite = self._discounts < 1
        gap = np.where(finite, 1 - self._discounts, 1.0)
        self.rows = np.where(finite, self.rows * faded + (1 - faded) / gap, self.rows + n)
        self.losses *= faded[:, None]
        self.regrets *= 0.5 ** (n / _LEADER_HALF_LIFE)

    def serves(self) -> npt.NDArray[np.int32]:
        """Return the model each expert would serve, shape (e,)."""
        return np.asarray(self.losses.argmin(axis=1), dtype=np.int32)

    def learn(self, votes: Votes, served: Votes, label: int, probability: float) -> None:
        """Take one answer.

        Parameters
        ----------
        votes : ndarray of int32, shape (k,)
            A missing model is charged the mean loss of the others (a sleeping expert), so that silence is
            neither rewarded nor punished.
        served : ndarray of int32, shape (e,)
            Classes the experts would have served.
        label : int
        probability : float
            With which the row was asked about.
        """
        voted = votes != MISSING
        wrong = (votes != label).astype(np.float64)
        if not voted.all():
            wrong[~voted] = wrong[voted].mean() if voted.any() else 0.0
        self.losses += wrong / probability
        self.regrets += (served != label) / probability

    def temper(self) -> None:
        """Forget most of what was learnt, after a change."""
        self.losses *= _TEMPER
        self.rows = np.maximum(self.rows * _TEMPER, 1.0)

    def join(self, shift: float) -> None:
        """Add a model that starts level with the best one, plus ``shift`` known losses; only differences count."""
        start = self.losses.min(axis=1, keepdims=True) if self.losses.shape[1] else np.zeros((len(self.rows), 1))
        self.losses = np.hstack([self.losses, start + shift])
        self.charge(np.zeros(self.losses.shape[1]))

    def charge(self, losses: Floats) -> None:
        """Add losses from elsewhere, float64[k]; none is below 0 after it."""
        self.losses += losses
        self.losses -= self.losses.min(axis=1, keepdims=True, initial=0.0)

    def leave(self, index: int) -> None:
        """Remove a model."""
        self.losses = np.delete(self.losses, index, axis=1)

    def state(self) -> dict[str, Any]:
        """Return the arrays."""
        return {
            "half_lives": np.array(self.half_lives),
            "losses": self.losses.copy(),
            "rows": self.rows.copy(),
            "regrets": self.regrets.copy(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        experts = cls(tuple(map(float, state["half_lives"])), 0)
        experts.losses = np.array(state["losses"], dtype=np.float64)
        experts.rows = np.array(state["rows"], dtype=np.float64)
        experts.regrets = np.array(state["regrets"], dtype=np.float64)
        return experts
