"""Algorithms of other packages: what entry points of the group ``easeml.algorithms`` name.

In the package's pyproject.toml and code::

    [project.entry-points."easeml.algorithms"]
    acme = "acme.algorithms:contribution"

    contribution = Contribution(
        families={"acme_ridge": Family(make_ridge, {"alpha": Parameter(1.0, 1e-6, 1e6)})},
        spaces=(Space(name="acme-ridge", family="acme_ridge"),),
    )

``make_ridge(seed, alpha=...)`` returns an estimator whose ``fit(float64[n, d], int64[n])`` returns the fitted model. A
model is stored as types of the trusted list alone (``easeml.artifacts.trusted``); a family that makes others fails its
trials, which say so. Trainers and whoever announces need the package; announcing is the user's choice
(``easeml algorithms announce``), for each model costs an app a step of its test set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points

from easeml.automl.parameters import Family
from easeml.automl.spaces import Space

GROUP = "easeml.algorithms"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a package brings.

    Parameters
    ----------
    families : mapping of str to Family
        New families by name; the name of one of ours means ours.
    spaces : tuple of Space
        What the package would announce, of its families or ours.
    """

    families: Mapping[str, Family] = field(default_factory=dict)
    spaces: tuple[Space, ...] = ()


@dataclass(frozen=True, slots=True)
class Contributed:
    """What all installed packages bring.

    Parameters
    ----------
    families : dict of str to Family
        By name; of two packages the first by its entry point's name is heard.
    spaces : dict of str to tuple of Space
        By name of the entry point.
    problems : dict of str to str
        Entry points that are left out, and why.
    """

    families: dict[str, Family]
    spaces: dict[str, tuple[Space, ...]]
    problems: dict[str, str]


@cache
def contributed() -> Contributed:
    """Return what the installed packages bring; one that cannot be loaded stops nothing and is told."""
    found = Contributed({}, {}, {})
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            offer = entry.load()
        except Exception as error:  # a foreign package may fail in any way; what wants it tells it
            found.problems[entry.name] = f"{type(error).__name__}: {error}"
            continue
        if not isinstance(offer, Contribution):
            found.problems[entry.name] = f"{entry.value} is a {type(offer).__name__}, not a Contribution"
            continue
        found.spaces[entry.name] = offer.spaces
        for name, family in offer.families.items():
            found.families.setdefault(name, family)
    return found
