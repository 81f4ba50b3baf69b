"""Which models cannot be the best: pairwise betting on audited rows, valid at every time.

Audited rows are the first contested ones to arrive after a coin has fallen, so they are a fair sample of contested
rows. For models i and j a gambler stakes a share c of its wealth, for each c of a grid, that j is right where i is
wrong: with w wins and l losses its wealth is the mean of (1 + c)^w (1 - c)^l. While i is at least as good as j this is
a supermartingale, so by Ville's inequality it ever reaches k/delta with probability at most delta/k; the best model is
ever pruned with probability at most delta. A model's e-value is the greatest wealth of those who bet against it.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024, section 4.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.intervals import accuracy_intervals
from easeml.modelpicker.voting import Floats

DELTA = 0.05
_STAKES = np.array([0.05, 0.1, 0.2, 0.4, 0.7])


class Certificates:
    """Audited answers since the last alarm and what they prove.

    Parameters
    ----------
    k : int

    Attributes
    ----------
    right : ndarray of int8, shape (a, k)
        1 right, 0 wrong, -1 no vote.
    alive : ndarray of bool, shape (k,)
    """

    def __init__(self, k: int) -> None:
        self.restart(k)

    def restart(self, k: int) -> None:
        """Forget everything, after an alarm."""
        self.right = np.zeros((0, k), np.int8)
        self.alive = np.ones(k, np.bool_)
        self._wins = np.zeros((k, k), np.int64)

    def add(self, right: npt.NDArray[np.int8]) -> None:
        """Take an audited answer, shape (k,), and prune."""
        self.right = np.vstack([self.right, right])
        self._wins += np.outer(right == 1, right == 0)
        self.alive &= self.e_values < len(self.alive) / DELTA

    @property
    def e_values(self) -> Floats:
        """Evidence that each model is not the best, shape (k,)."""
        wins, losses = self._wins.T[None], self._wins[None]
        up, down = np.log1p(_STAKES)[:, None, None], np.log1p(-_STAKES)[:, None, None]
        # wealth of j (column) against i (row); beyond e^700 it would be infinite
        logs = np.minimum(up * wins + down * losses, 700.0)
        wealth = np.exp(logs).mean(axis=0)
        return np.asarray(wealth.max(axis=1, initial=0.0), np.float64)

    @property
    def intervals(self) -> Floats:
        """Accuracy of each model on contested rows, shape (k, 2); misses ever with probability DELTA at most."""
        return accuracy_intervals(self.right, np.ones(len(self.right)), DELTA)

    def join(self) -> None:
        """Add a model that nothing is known about."""
        self.right = np.hstack([self.right, np.full((len(self.right), 1), -1, np.int8)])
        self.alive = np.append(self.alive, True)
        self._wins = np.pad(self._wins, (0, 1))

    def leave(self, index: int) -> None:
        """Remove a model."""
        self.right = np.delete(self.right, index, axis=1)
        self.alive = np.delete(self.alive, index)
        self._wins = np.delete(np.delete(self._wins, index, axis=0), index, axis=1)

    def state(self) -> dict[str, Any]:
        """Return the arrays."""
        return {"right": self.right.copy(), "alive": self.alive.copy()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        alive = np.array(state["alive"], np.bool_)
        found = cls(len(alive))
        found.right, found.alive = np.array(state["right"], np.int8).reshape(len(state["right"]), len(alive)), alive
        right = found.right.astype(np.int64)
        found._wins = (right == 1).astype(np.int64).T @ (right == 0).astype(np.int64)
        return found
