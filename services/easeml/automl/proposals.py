"""New arms for one tenant, by what its trials taught: the extra ``optuna``.

The scheduler chooses among arms that it is given; this gives it further ones. A study is made anew from the finished
trials of a tenant each time, so there is no state to keep: one ask is one arm, announced like any other, and its trial
is told to the next study by standing in the topic.

Source: Bergstra et al., NeurIPS 2011 (TPE); Ginsbourger et al., 2010 (constant liar, for several asks at a time).
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from easeml.automl.spaces import Between, Space
from easeml.errors import ConfigurationError
from easeml.stream.events import Event
from easeml.stream.payloads import AlgorithmAnnounced, TrialAssigned, TrialFinished, TrialOutcome

_ASKED = 20
"""Asks for each arm wanted: what was tried before is asked for again where the space is small."""


class Told(NamedTuple):
    """A finished trial: parameters as a JSON object, and validation accuracy in [0, 1]; None: it failed."""

    parameters: str
    quality: float | None


def told_by(trials: Iterable[Event[Any]], app: str, family: str) -> list[Told]:
    """Return what the newest round of an app taught about a family, in the order of assignment.

    Parameters
    ----------
    trials : iterable of Event
        The trials topic.
    app, family : str
        Whose trials, of what.
    """
    facts = [event.data for event in trials if event.app == app]
    assigned = {fact.trial: fact for fact in facts if isinstance(fact, TrialAssigned)}
    ends = {fact.trial: fact for fact in facts if isinstance(fact, TrialFinished)}
    newest = max((trial.round for trial in assigned.values()), default=0)
    return [
        Told(trial.parameters, _quality(ends[name]))
        for name, trial in assigned.items()
        if trial.round == newest and trial.family == family and name in ends
    ]


def _quality(end: TrialFinished) -> float | None:
    return end.quality if end.outcome is TrialOutcome.TRAINED and 0 <= end.quality <= 1 else None


def propose(space: Space, told: Sequence[Told]) -> list[AlgorithmAnnounced]:
    """Return ``space.arms`` arms of a space that were not tried, fewer where it has no more; the same for the same.

    Parameters
    ----------
    space : Space
        Where to look.
    told : sequence of Told
        Finished trials of its family; those outside the space say nothing.

    Raises
    ------
    ConfigurationError
        When Optuna is not installed.
    """
    optuna = _optuna()
    ranges = {name: _distribution(optuna, value) for name, value in space.parameters.items()}
    sampler = optuna.samplers.TPESampler(seed=len(told), n_startup_trials=5, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    tried = set()
    for parameters, quality in told:
        values = _values(parameters)
        tried.add(_canonical(values))
        if values.keys() == ranges.keys() and all(_within(ranges[name], value) for name, value in values.items()):
            state = optuna.trial.TrialState.COMPLETE if quality is not None else optuna.trial.TrialState.FAIL
            study.add_trial(optuna.trial.create_trial(params=values, distributions=ranges, value=quality, state=state))
    found: dict[str, None] = {}
    for _ in range(_ASKED * space.arms):
        asked = _canonical(study.ask(ranges).params)
        if asked not in tried:
            found[asked] = None
        if len(found) == space.arms:
            break
    return [
        AlgorithmAnnounced(
            f"{space.name}-{_digest(space.family, parameters)}", space.family, parameters, space.cost_hint
        )
        for parameters in found
    ]


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise ConfigurationError(
            f"Optuna is not installed: {error}.",
            mend="pip install 'easeml-streaming[optuna]', or announce the space without --for.",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, value: Any) -> Any:
    kinds = optuna.distributions
    if isinstance(value, Between):
        whole = isinstance(value.low, int) and isinstance(value.high, int)
        return (kinds.IntDistribution if whole else kinds.FloatDistribution)(value.low, value.high, log=value.log)
    return kinds.CategoricalDistribution(value if isinstance(value, list) else [value])


def _within(distribution: Any, value: Any) -> bool:
    if hasattr(distribution, "choices"):
        return value in distribution.choices
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high


def _values(parameters: str) -> dict[str, Any]:
    try:
        values = json.loads(parameters or "{}")
    except (ValueError, RecursionError):
        return {}  # its trial failed and said why
    return values if isinstance(values, dict) else {}


def _canonical(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _digest(family: str, parameters: str) -> str:
    return hashlib.sha256(f"{family} {parameters}".encode()).hexdigest()[:6]
