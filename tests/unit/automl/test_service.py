"""The scheduler service alone: what it assigns, and when."""

import math
from dataclasses import replace

import pytest

from easeml.automl.service import LEASE_SECONDS, AutoMLService, Lease
from easeml.stream.payloads import DataVersion, Pillar, TrialAssigned, TrialFinished, TrialOutcome, TrialProgress
from easeml.stream.topics import APPS, DATA_VERSIONS, TRIALS

from .conftest import BAYES, LOGISTIC, TREE, Town


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path, (LOGISTIC, TREE, BAYES), [AutoMLService()])


def assigned(town):
    return [event.data for event in town.cluster.events(TRIALS) if isinstance(event.data, TrialAssigned)]


def ended(town, trial):
    return any(
        trial.trial == event.data.trial
        for event in town.cluster.events(TRIALS)
        if isinstance(event.data, TrialFinished)
    )


def finish(town, trial, quality=0.8, outcome=TrialOutcome.TRAINED):
    quality = quality if outcome is TrialOutcome.TRAINED else float("nan")
    town.cluster.publish(
        TRIALS, TrialFinished("churn", trial.trial, trial.algorithm, outcome, quality, 0.1, "m", "why")
    )
    town.cluster.run()


def runs(town):
    """Return what the scheduler counts: (algorithm, quality) of the finished runs of every tenant."""
    scheduler = town.services[0]._house._up_to_date()._scheduler
    return {
        name: [(scheduler.algorithms[run[0]], run[1]) for run in tenant["runs"]]
        for name, tenant in scheduler.state()["tenants"].items()
    }


def announce_data(town, train=40, validation=20, version="v1"):
    town.version(Pillar.TRAIN, train, version)
    town.version(Pillar.VALIDATION, validation, version)
    town.cluster.run()


def test_nothing_is_assigned_before_both_pillars_are_known(town):
    town.version(Pillar.TRAIN, 40)
    town.version(Pillar.TEST, 40)
    town.cluster.run()
    assert not assigned(town)
    town.version(Pillar.VALIDATION, 20)
    town.cluster.run()
    first, second = assigned(town)
    assert (first.algorithm, second.algorithm) == ("logistic", "tree")
    assert (first.family, first.train_rows, first.validation_rows, first.data_version) == ("logistic", 40, 20, "v1")
    assert first.lease_seconds == LEASE_SECONDS


def test_two_trials_at_a_time_until_all_are_done(town):
    announce_data(town)
    seen = []
    while trials := [trial for trial in assigned(town) if trial.trial not in seen]:
        assert len(trials) <= 2
        seen.append(trials[0].trial)
        finish(town, trials[0], outcome=TrialOutcome.FAILED if len(seen) == 2 else TrialOutcome.TRAINED)
    assert len(seen) == len(set(seen)) == 3
    assert town.cluster.state("automl", "churn").leases == {}


def test_a_result_is_counted_once(town):
    announce_data(town)
    trial = assigned(town)[0]
    finish(town, trial)
    finish(town, trial)
    assert len(assigned(town)) == 3
    assert runs(town) == {"churn": [(trial.algorithm, 0.8)]}
    stranger = TrialFinished("churn", "forged", "tree", TrialOutcome.TRAINED, 1.0, 0.1)
    town.cluster.publish(TRIALS, stranger)
    town.cluster.run()
    assert len(assigned(town)) == 3
    assert not town.cluster.dead_letters(TRIALS)


def test_a_result_without_a_quality_is_dead_lettered(town):
    announce_data(town)
    trial = assigned(town)[0]
    finish(town, trial, quality=float("nan"))
    assert [letter.reason for letter in town.cluster.dead_letters(TRIALS)] == ["invalid_data"]
    finish(town, trial)
    assert len(assigned(town)) == 3


def test_a_new_algorithm_is_tried_at_the_next_tick(town):
    announce_data(town)
    for trial in assigned(town):
        finish(town, trial)
    finish(town, assigned(town)[-1])
    assert len(assigned(town)) == 3
    town.announce(LOGISTIC.__class__("boosting", "boosting", "{}", 1.0))
    town.cluster.tick()
    assert assigned(town)[-1].algorithm == "boosting"
    town.cluster.tick(3)
    assert len(assigned(town)) == 4


def test_a_cost_or_priority_that_is_no_positive_number_counts_as_not_given(tmp_path):
    odd = [LOGISTIC.__class__(f"odd{i}", "logistic", "{}", hint) for i, hint in enumerate((math.nan, math.inf, -1.0))]
    town = Town(tmp_path, (*odd, TREE), [AutoMLService()])
    town.cluster.publish(APPS, replace(town.app, priority=math.nan))
    announce_data(town)
    town.announce(LOGISTIC.__class__("late", "logistic", "{}", 0.0))
    town.cluster.tick()
    for _ in range(5):
        finish(town, next(trial for trial in assigned(town) if not ended(town, trial)))
    assert [trial.algorithm for trial in assigned(town)] == ["tree", "odd0", "odd1", "odd2", "late"]


def test_data_that_grew_by_a_fifth_starts_a_new_round(town):
    announce_data(town)
    first_round = {trial.trial for trial in assigned(town)}
    town.version(Pillar.TRAIN, 47, "v2")
    town.cluster.run()
    assert town.cluster.state("automl", "churn").round == 1
    town.version(Pillar.TRAIN, 48, "v3")
    town.cluster.run()
    assert town.cluster.state("automl", "churn").round == 2
    assert {trial.trial for trial in assigned(town)} == first_round, "the slots are taken by the old round"
    for trial in assigned(town)[:2]:
        finish(town, trial)
    fresh = [trial for trial in assigned(town) if trial.trial not in first_round]
    assert [(trial.train_rows, trial.data_version) for trial in fresh] == [(48, "v3")] * 2


def test_a_lost_trial_loses_its_lease_and_a_late_result_counts(town):
    announce_data(town)
    first, second = assigned(town)
    town.cluster.tick()
    town.cluster.now += LEASE_SECONDS - 10
    town.cluster.tick()
    assert len(assigned(town)) == 2
    town.cluster.publish(TRIALS, TrialProgress("churn", first.trial, "d", 0.5))
    town.cluster.run()
    town.cluster.now += LEASE_SECONDS - 10
    town.cluster.tick()
    assert len(assigned(town)) == 2, "a sign of life of its trainer renews the leases"
    town.cluster.now += LEASE_SECONDS
    town.cluster.tick(2)
    third = assigned(town)[2]
    lost = [event.data for event in town.cluster.events(TRIALS) if isinstance(event.data, TrialFinished)]
    assert [(end.trial, end.outcome, end.cost_seconds) for end in lost] == [
        (trial.trial, TrialOutcome.FAILED, 0.0) for trial in (first, second)
    ]
    assert set(town.cluster.state("automl", "churn").leases) == {third.trial}
    finish(town, first, 0.99)
    finish(town, second, outcome=TrialOutcome.FAILED)
    assert runs(town) == {"churn": [(first.algorithm, 0.99)]}


def test_an_empty_version_is_dead_lettered(town):
    town.version(Pillar.TRAIN, 0)
    town.cluster.run()
    assert [letter.reason for letter in town.cluster.dead_letters(DATA_VERSIONS)] == ["empty_version"]


def test_a_restart_changes_nothing(town):
    announce_data(town)
    before = town.cluster.state("automl", "churn")
    town.cluster.restart("automl")
    after = town.cluster.state("automl", "churn")
    service = town.services[0]
    assert service.pack(after).document == service.pack(before).document
    assert all(isinstance(lease, Lease) for lease in after.leases.values())
    finish(town, assigned(town)[0])
    assert len(assigned(town)) == 3


def test_the_same_version_twice_assigns_nothing_new(town):
    announce_data(town)
    town.cluster.publish(
        DATA_VERSIONS, DataVersion("churn", Pillar.TRAIN, "v1", 40, "0" * 64, "again"), id="00000000-0000-0000-0000-1"
    )
    town.cluster.run()
    assert len(assigned(town)) == 2
