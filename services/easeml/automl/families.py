"""Pipeline families: name + parameters -> an estimator over the encoder's matrix.

Adding a family is adding one line; installed packages bring further ones (``easeml.automl.contributions``). All
families share the parameters of ``PREPARATION``: what is done to the matrix before the model sees it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from easeml.artifacts import trimmed
from easeml.artifacts.compound import Pipeline
from easeml.artifacts.steps import Step
from easeml.automl.committee import Committee
from easeml.automl.contributions import contributed
from easeml.automl.incremental import AdaptiveForest, HoeffdingTree, OnlineLogistic, OnlineNaiveBayes
from easeml.automl.kernel_machines import KernelMachine
from easeml.automl.parameters import PREPARATION, Family, Parameter
from easeml.automl.portfolio import ARMS
from easeml.automl.preprocessing import fit_steps
from easeml.errors import ConfigurationError, InvalidDataError
from easeml.stream.payloads import AlgorithmAnnounced


def _sklearn(kind: type, *, seeded: bool = True, **fixed: Any) -> Callable[..., Any]:
    def make(seed: int, **parameters: Any) -> Any:
        return kind(**fixed, **parameters, **({"random_state": seed} if seeded else {}))

    return make


def _mlp(seed: int, hidden: int, **parameters: Any) -> Any:
    return MLPClassifier((hidden,), tol=1e-3, n_iter_no_change=5, random_state=seed, **parameters)


def _qda(seed: int, shrinkage: float) -> Any:
    del seed  # nothing is random
    return QuadraticDiscriminantAnalysis(reg_param=shrinkage)


_TREES = {
    "trees": Parameter(60, 1, 1000),
    "min_leaf": Parameter(1, 1, 1000),
    "columns": Parameter("sqrt", choices=("sqrt", "half", "all")),
}
_COLUMNS = {"sqrt": "sqrt", "half": 0.5, "all": None}


def _forest(kind: type) -> Callable[..., Any]:
    def make(seed: int, trees: int, min_leaf: int, columns: str) -> Any:
        share = _COLUMNS[columns]
        return kind(n_estimators=trees, min_samples_leaf=min_leaf, max_features=share, random_state=seed)

    return make


FAMILIES: dict[str, Family] = {
    "logistic": Family(_sklearn(LogisticRegression, max_iter=300), {"C": Parameter(1.0, 1e-6, 1e6)}),
    "knn": Family(
        _sklearn(KNeighborsClassifier, seeded=False, algorithm="brute"),
        {
            "n_neighbors": Parameter(5, 1, 1000),
            "weights": Parameter("distance", choices=("uniform", "distance")),
            "metric": Parameter("euclidean", choices=("euclidean", "cosine", "manhattan")),
        },
    ),
    "decision_tree": Family(
        _sklearn(DecisionTreeClassifier),
        {"max_depth": Parameter(None, 1, 1000), "min_samples_leaf": Parameter(1, 1, 1000)},
    ),
    "random_forest": Family(_forest(RandomForestClassifier), _TREES),
    "extra_trees": Family(_forest(ExtraTreesClassifier), _TREES),
    "boosting": Family(
        _sklearn(HistGradientBoostingClassifier, early_stopping=False),
        {
            "max_iter": Parameter(40, 1, 1000),
            "learning_rate": Parameter(0.15, 1e-3, 1.0),
            "max_leaf_nodes": Parameter(15, 2, 255),
            "min_samples_leaf": Parameter(10, 1, 1000),
        },
    ),
    "naive_bayes": Family(_sklearn(GaussianNB, seeded=False), {"var_smoothing": Parameter(1e-3, 1e-12, 1.0)}),
    "lda": Family(
        _sklearn(LinearDiscriminantAnalysis, seeded=False, solver="lsqr"),
        {"shrinkage": Parameter("auto", choices=("auto",))},
    ),
    "qda": Family(_qda, {"shrinkage": Parameter(0.1, 0.0, 1.0)}),
    "svm": Family(KernelMachine, {"C": Parameter(3.0, 1e-3, 1e6), "gamma": Parameter(1.0, 1e-4, 1e4)}),
    "linear_svm": Family(_sklearn(LinearSVC, max_iter=2000, tol=1e-3), {"C": Parameter(1.0, 1e-6, 1e6)}),
    "mlp": Family(
        _mlp,
        {
            "hidden": Parameter(64, 1, 1024),
            "alpha": Parameter(1e-3, 0.0, 1e3),
            "max_iter": Parameter(120, 1, 10_000),
            "learning_rate_init": Parameter(5e-3, 1e-6, 1.0),
        },
    ),
    "online_logistic": Family(
        OnlineLogistic, {"learning_rate": Parameter(0.1, 1e-6, 10.0), "passes": Parameter(2, 1, 20)}, online=True
    ),
    "online_naive_bayes": Family(OnlineNaiveBayes, {}, online=True),
    "hoeffding_tree": Family(HoeffdingTree, {"grace_period": Parameter(50, 1, 100_000)}, online=True),
    "adaptive_forest": Family(
        AdaptiveForest, {"trees": Parameter(10, 1, 100), "grace_period": Parameter(30, 1, 100_000)}, online=True
    ),
    "committee": Family(
        lambda seed, **parameters: Committee(train, seed, **parameters),
        {"arms": Parameter(0, 0, len(ARMS)), "members": Parameter(3, 1, 30)},
        prepared=False,
    ),
}
"""Every family of our own."""


def family_of(name: str) -> Family:
    """Return a family, one of ours or of an installed package.

    Raises
    ------
    ConfigurationError
        When there is none of this name; names the packages that could not be loaded.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    others = contributed()
    if name in others.families:
        return others.families[name]
    broken = "".join(f" The package {package!r} is left out: {why}." for package, why in others.problems.items())
    raise ConfigurationError(
        f"The trainers know no pipeline family {name!r}.",
        mend=f"Use one of {', '.join(sorted({*FAMILIES, *others.families}))}.{broken}",
    )


class Prepared:
    """Steps and an estimator, not fitted.

    Parameters
    ----------
    settings : mapping
        Values of ``PREPARATION``.
    estimator : object
        Unfitted.
    seed : int
        Seed of the steps.
    """

    def __init__(self, settings: Mapping[str, Any], estimator: Any, seed: int) -> None:
        self.estimator = estimator
        self._settings = settings
        self._seed = seed

    def prepare(self, matrix: NDArray[np.float64], codes: NDArray[np.int64]) -> tuple[list[Step], NDArray[np.float64]]:
        """Return the fitted steps, and what becomes of ``matrix`` float64[n, d] with ``codes`` int64[n]."""
        return fit_steps(self._settings, matrix, codes, self._seed)

    def fit(self, matrix: NDArray[np.float64], codes: NDArray[np.int64]) -> Pipeline:
        """Return the fitted pipeline of ``matrix`` float64[n, d] and ``codes`` int64[n]."""
        steps, prepared = self.prepare(matrix, codes)
        return Pipeline(steps, fitted(self.estimator, prepared, codes))


def build(family: str, parameters: str, seed: int) -> Any:
    """Return the unfitted estimator of an announced algorithm; ``fitted`` fits it.

    Parameters
    ----------
    family : str
        Its name.
    parameters : str
        JSON object.
    seed : int
        Seed of its random choices, in [0, 2^32).

    Raises
    ------
    ConfigurationError
        When the family or a parameter is unknown or a value is out of range.
    """
    values = parse_parameters(family, parameters)
    for name in ("worlds", "follow"):  # of the rows, not of the estimator
        values.pop(name, None)
    settings = {name: values.pop(name) for name in PREPARATION if name in values}
    estimator = family_of(family).make(seed, **values)
    plain = all(value == PREPARATION[name].default for name, value in settings.items())
    return estimator if plain else Prepared(settings, estimator, seed)


def fitted(estimator: Any, matrix: NDArray[np.float64], codes: NDArray[np.int64]) -> Any:
    """Fit what ``build`` returned, and return the fitted model without what only training needs.

    Parameters
    ----------
    estimator : object
        Unfitted estimator.
    matrix : float64[n, d]
        Training rows.
    codes : int64[n]
        Their classes.

    Raises
    ------
    InvalidDataError
        When what it returns tells no classes, or others than it was shown.
    """
    if isinstance(estimator, KNeighborsClassifier):
        estimator.set_params(n_neighbors=min(estimator.n_neighbors, len(codes)))
    model = estimator.fit(matrix, codes)
    if not np.isin(getattr(model, "classes_", [-1]), codes).all():
        raise InvalidDataError(
            f"The fit of {type(estimator).__name__} returned {type(model).__name__}, which names no classes or others "
            "than it was shown.",
            mend="fit(matrix, codes) returns a model whose classes_ are the codes it has seen.",
        )
    return trimmed(model)


def train(arm: AlgorithmAnnounced, seed: int, matrix: NDArray[np.float64], codes: NDArray[np.int64]) -> Any:
    """Return the fitted model of an announced algorithm; parameters and errors of ``build`` and ``fitted``."""
    return fitted(build(arm.family, arm.parameters, seed), matrix, codes)


def parse_parameters(family: str, parameters: str) -> dict[str, Any]:
    """Return the parameters of an announced algorithm, defaults filled in.

    Parameters
    ----------
    family : str
        Name of the family.
    parameters : str
        JSON object.

    Raises
    ------
    ConfigurationError
        When the family or a parameter is unknown or a value is out of range.

    Examples
    --------
    >>> parse_parameters("logistic", '{"C": 10}')["C"]
    10
    """
    known = family_of(family).takes()
    try:
        given = json.loads(parameters or "{}")
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"The parameters of family {family!r} are not JSON: {error}.", mend='Announce an object, e.g. {"C": 1.0}.'
        ) from error
    if not isinstance(given, dict):
        raise ConfigurationError(
            f"The parameters of family {family!r} are not a JSON object.", mend='Announce an object, e.g. {"C": 1.0}.'
        )
    for name, value in given.items():
        if name not in known:
            raise ConfigurationError(
                f"Family {family!r} has no parameter {name!r}.",
                mend=f"It has {', '.join(known)}.",
            )
        if not known[name].accepts(value):
            raise ConfigurationError(
                f"The parameter {name!r} of family {family!r} was {value!r}.", mend=f"It must be {known[name]}."
            )
    return {name: given.get(name, parameter.default) for name, parameter in known.items()}
