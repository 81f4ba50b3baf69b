"""What to do next: rules look at the materialised relation and propose steps, each with its reason in numbers.

A rule is a function of a ``View``; it is registered beside the operator that it proposes. Suggestions are ranked by
``share``, the share of the rows that the step concerns times how sure its benefit is, so that one scale serves all.

>>> @rule
... def rare_rows(view):
...     if len(view.relation) < 10:
...         return Suggestion("relation.stack", {}, "Ten rows say little; add more.", {"rows": len(view.relation)}, 1.0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from easeml.errors import EaseMLError, InvalidDataError, NotFoundError
from easeml.lineage.graph import Node, ordered
from easeml.lineage.operators import lookup, names
from easeml.lineage.values import Json
from easeml.relation import Relation
from easeml.relation.candidates import LABEL
from easeml.relation.columns import width


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A next step.

    Parameters
    ----------
    operator : str
        What to call: ``handle.apply(operator, **parameters)``.
    parameters : mapping of str to JSON
        Parameters to call it with.
    reason : str
        Why, in plain words with the numbers.
    evidence : mapping of str to number
        The numbers.
    share : float
        Rank in [0, 1]: share of the rows it concerns, times how sure the benefit is.
    needs : tuple of str
        Parameters that only a person can give, such as the true value of a cell.
    """

    operator: str
    parameters: Mapping[str, Json]
    reason: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0
    needs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.call}: {self.reason}>"

    @property
    def call(self) -> str:
        """The call, for people."""
        told = [*(f"{name}={value!r}" for name, value in self.parameters.items()), *(f"{one}=?" for one in self.needs)]
        return f"{self.operator}({', '.join(told)})"


@dataclass(frozen=True, eq=False)
class View:
    """What a rule sees.

    Parameters
    ----------
    relation : Relation
        The materialised relation.
    done : frozenset of str
        Operators that led to it.
    """

    relation: Relation
    done: frozenset[str] = frozenset()

    @cached_property
    def speaking(self) -> NDArray[np.bool_]:
        """Whether each cell has candidates, its row's alternatives included; shape (n, d + 1), the label last."""
        block = self.relation.block
        spoken = np.zeros((len(block), len(block.columns) + 1), bool)
        spoken[block.candidates.row, block.candidates.column] = True  # column -1, the label, is the last one
        spoken[block.alternatives.row, :-1] = True
        return spoken

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Whether each feature cell is missing and nobody has proposed what it could be; shape (n, d)."""
        block = self.relation.block
        table = np.zeros((len(block), len(block.columns)), bool)
        for place, column in enumerate(block.columns):
            cells = block.column(place)
            if cells.dtype == object:
                table[:, place] = [cell is None for cell in cells]
            elif cells.ndim > 1:
                table[:, place] = np.isnan(cells).all(axis=1) & (width(column) > 0)
            else:
                table[:, place] = cells < 0 if cells.dtype.kind == "i" else np.isnan(cells)
        return table & ~self.speaking[:, :-1]

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Whether each label is certain."""
        return np.asarray((self.relation.labels >= 0) & ~self.speaking[:, LABEL], bool)

    @cached_property
    def class_counts(self) -> NDArray[np.int64]:
        """Rows per class with a certain label."""
        return np.bincount(self.relation.labels[self.known], minlength=len(self.relation.classes)).astype(np.int64)

    def has(self, operator: str) -> bool:
        """Whether an operator of this name is there to be proposed."""
        return operator in names()


Rule = Callable[[View], Suggestion | Iterable[Suggestion] | None]
_R = TypeVar("_R", bound=Rule)
_rules: dict[tuple[str, str], Rule] = {}


def rule(function: _R) -> _R:
    """Register a rule."""
    _rules[function.__module__, function.__qualname__] = function
    return function


def suggestions(value: Any, node: Node | None = None) -> list[Suggestion]:
    """Return what to do next with a materialised relation, the best first.

    Parameters
    ----------
    value : Relation
        The relation.
    node : Node, optional
        The step that made it: what was done already is not proposed again.

    Raises
    ------
    InvalidDataError
        When the value is no relation.
    EaseMLError
        When a rule fails or proposes a call that its operator would refuse; names the rule.
    """
    if not isinstance(value, Relation):
        raise InvalidDataError(
            f"Suggestions look at a relation, not at a {type(value).__name__}.", mend="Ask the step that made it."
        )
    names()  # rules are registered when operators are found
    view = View(value, frozenset(one.operator for one in ordered([node])) if node is not None else frozenset())
    found: list[Suggestion] = []
    for (module, name), function in _rules.items():
        try:
            made = function(view)
            told = [made] if isinstance(made, Suggestion) else list(made or ())
            for one in told:
                _check(one)
        except Exception as error:  # a rule is anybody's code and may fail in any way
            raise EaseMLError(
                f"The rule {module}.{name} failed: {error}", mend="Mend it, or do not import it.", reason="rule_failed"
            ) from error
        found += told
    return sorted(found, key=lambda one: (-one.share, one.operator))


def _check(one: Suggestion) -> None:
    try:
        kind = lookup(one.operator)
    except NotFoundError:
        return  # an operator of a package that is not imported may be proposed; its call cannot be checked
    kind.check(one.parameters, later=one.needs)
