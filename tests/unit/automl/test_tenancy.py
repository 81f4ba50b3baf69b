"""One belief over all apps: who is served, what versions and algorithms lead to, and that decisions can be repeated."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from easeml.automl.house import decided_again
from easeml.automl.ledger import AHEAD
from easeml.automl.service import LEASE_SECONDS
from easeml.ids import EventId
from easeml.stream.memory import POINTS
from easeml.stream.payloads import AppDeleted, TrialAssigned, TrialFinished, TrialRequested
from easeml.stream.topics import APPS, TRIALS, partition_of

from .estate import Estate

ARMS = {"lda": 0.1, "tree": 0.2, "forest": 1.0, "boosting": 2.0}


SEEN = {str(partition): 10**6 for partition in range(4)}


def quality(trial):
    """Return a quality that depends on app and algorithm alone."""
    return random.Random(f"{trial.app} {trial.algorithm}").uniform(0.5, 0.9)


def check_books(estate, rounds=1, arms=ARMS):
    """Every app has one trial per algorithm and round, each ended, each counted once."""
    trials = Counter((t.app, t.round, t.algorithm) for t in {t.trial: t for t in estate.assigned()}.values())
    assert trials == Counter({(app, n + 1, arm): 1 for app in estate.apps for n in range(rounds) for arm in arms})
    assert not estate.open()
    counted = estate.tasks()
    assert set(counted) == set(estate.apps)
    for app, runs in counted.items():
        assert sorted(name for name, _ in runs) == sorted(arms), app
        assert all(value == quality(TrialAssigned(app, "", name, "", "", "", 0, "", 0, 0)) for name, value in runs)


def check_repeatable(estate):
    """Every decision follows from what it says it knew."""
    events = estate.cluster.events(TRIALS)
    decisions = [event.data for event in estate.said(TrialAssigned)]
    assert decisions
    for decision in decisions:
        assert decided_again(events, decision) == (decision.app, decision.algorithm, decision.device)


def test_every_app_is_served_and_every_trial_counted():
    estate = Estate([f"app{n}" for n in range(6)], ARMS)
    estate.data()
    estate.work(quality)
    check_books(estate)
    check_repeatable(estate)
    assert [trial.turn for trial in estate.assigned()] == list(range(1, 25))
    assert {trial.app for trial in estate.assigned()[:7]} == set(estate.apps), "every app once, as soon as it is known"


@pytest.mark.parametrize("claimed", [7, 1], ids=["of another round", "too early"])
def test_a_foreign_message_under_the_name_of_a_trial_does_not_make_the_scheduler_repeat_itself(claimed):
    """What comes next is named by app, round and algorithm; anybody may have said that name of something else."""
    estate = Estate(["app0"], ARMS)
    for name in ARMS:
        trial = EventId.derive("trial", "app0", 1, name)
        estate.cluster.publish(TRIALS, TrialAssigned("app0", trial, name, "", "{}", "", 1, "v0", 1, 1, claimed))
    estate.data()
    estate.work(quality)
    ours = Counter(event.data.algorithm for event in estate.said(TrialAssigned) if event.data.data_version == "v1")
    assert ours == dict.fromkeys(ARMS, 1)


def test_a_request_of_no_round_changes_nothing():
    estate = Estate(["app0"], ARMS)
    estate.cluster.publish(TRIALS, TrialRequested("app0", 0, "v0", 9, 9, 1.0, dict.fromkeys(ARMS, 1.0)))
    estate.data()
    estate.work(quality)
    assert estate.cluster.restarts == 0
    check_books(estate)


def test_a_device_has_one_trial_in_training_and_one_that_waits():
    estate = Estate([f"app{n}" for n in range(12)], ARMS, devices=4)
    estate.data()
    assert len(estate.open()) == AHEAD, "nobody has heard of a device yet"
    most = 0
    while trials := estate.open():
        load = Counter(estate.device(trial.app) for trial in trials)
        heard = {event.data.device for event in estate.said(TrialFinished)}
        assert all(load[device] <= 2 * AHEAD for device in load)
        if len(heard) == 4:
            most = max(most, len(trials))
            assert all(trial.device == estate.device(trial.app) for trial in trials if trial.device)
        estate.end(trials[0], quality(trials[0]))
        estate.cluster.run()
    assert most > AHEAD, "four trainers have more to do than one"
    check_books(estate)
    check_repeatable(estate)


def test_devices_go_to_the_app_that_gains_most():
    estate = Estate(["done", "poor"], {f"arm{n}": 1.0 for n in range(12)})
    estate.data()
    done = estate.work(lambda trial: 0.99 if trial.app == "done" else 0.6 + 0.02 * int(trial.algorithm[3:]))
    served = Counter(trial.app for trial in done[4:14])
    assert served["poor"] >= 2 * served["done"]


def test_finished_apps_teach_new_ones():
    """After two complete apps a third begins with what was best there, not with the cheapest."""
    arms = {"first": 1.0, "second": 1.0, "third": 1.0, "best": 1.0}
    estate = Estate(["one", "two"], arms)
    estate.data()
    assert estate.assigned()[0].algorithm == "first"
    estate.work(lambda trial: 0.95 if trial.algorithm == "best" else 0.6, cost=lambda _: 1.0)
    estate.apps.append("three")
    estate.define("three")
    estate.version("three")
    estate.cluster.run()
    assert next(trial.algorithm for trial in estate.assigned() if trial.app == "three") == "best"
    check_repeatable(estate)


def test_a_new_version_retrains_the_app_it_concerns():
    estate = Estate(["grows", "stays", "hardly"], ARMS)
    estate.data()
    estate.work(quality)
    before = len(estate.assigned())
    estate.version("grows", 48, "v2")
    estate.version("hardly", 47, "v2")
    estate.cluster.run()
    estate.work(quality)
    again = estate.assigned()[before:]
    assert {(trial.app, trial.round, trial.data_version, trial.train_rows) for trial in again} == {
        ("grows", 2, "v2", 48)
    }
    assert sorted(trial.algorithm for trial in again) == sorted(ARMS)
    check_repeatable(estate)


def test_results_of_an_earlier_round_count_no_more():
    estate = Estate(["churn"], ARMS)
    estate.data()
    old = estate.open()
    estate.version("churn", 100, "v2")
    estate.cluster.run()
    assert estate.open() == old, "the device is taken until they end"
    for trial in old:
        estate.end(trial, 0.999)
    estate.cluster.run()
    assert [trial.round for trial in estate.open()] == [2, 2]
    estate.work(quality)
    assert all(value < 0.999 for _, value in estate.tasks()["churn"])
    check_repeatable(estate)


def test_a_new_algorithm_is_tried_by_every_app_where_most_is_gained_first():
    """Where one algorithm is far above the others a further one hardly helps; where all are alike it may."""
    tops = {"level": 0.7, "between": 0.8, "settled": 0.95}
    estate = Estate(tops, ARMS)
    estate.data()
    estate.work(lambda trial: tops[trial.app] if trial.algorithm == "forest" else 1.4 - tops[trial.app])
    before = len(estate.assigned())
    estate.announce({"new": 0.5})
    estate.cluster.tick()
    estate.work(lambda _: 0.5)
    new = estate.assigned()[before:]
    assert {trial.algorithm for trial in new} == {"new"}
    assert [trial.app for trial in new] == ["level", "between", "settled"]
    check_repeatable(estate)


def test_a_deleted_app_leaves_its_devices_to_the_others():
    estate = Estate(["gone", "here"], ARMS)
    estate.data()
    for trial in estate.open():
        if trial.app == "here":
            estate.end(trial, quality(trial))
    estate.cluster.publish(APPS, AppDeleted("gone"))
    estate.cluster.run()
    estate.cluster.tick(2)
    done = [trial for trial in estate.open() if trial.app == "here"]
    while done:
        estate.end(done[0], quality(done[0]))
        estate.cluster.run()
        done = [trial for trial in estate.open() if trial.app == "here"]
    assert set(estate.tasks()) == {"here"}
    assert len(estate.tasks()["here"]) == len(ARMS)
    estate.define("gone")
    estate.version("gone")
    estate.cluster.run()
    estate.cluster.tick()
    begun = [trial for trial in estate.assigned() if trial.app == "gone"]
    assert len(begun) >= 2, "defined again it begins anew"


def test_a_failure_counts_as_no_quality_and_a_lost_trial_as_nothing():
    estate = Estate(["one", "two"], {"good": 1.0, "breaks": 1.0})
    estate.data()
    estate.work(lambda trial: None if trial.algorithm == "breaks" else 0.9)
    ledger = estate.service._house._up_to_date()
    assert ledger._past == {(app, 1): {"good": (0.9, 0.1), "breaks": (0.0, 0.1)} for app in ("one", "two")}
    lost = Estate(["one", "two"], {"good": 1.0})
    lost.data()
    lost.cluster.tick()
    lost.cluster.now += LEASE_SECONDS + 1
    lost.cluster.tick()
    assert not lost.open()
    assert lost.service._house._up_to_date()._past == {}


@pytest.mark.parametrize(
    "change",
    [
        {"priority": float("nan")},
        {"costs": {"lda": float("nan"), "oracle": -1.0}},
        {"costs": {}},
        {"round": -5},
        {"train_rows": -1},
        {"round": 2**62},
    ],
)
def test_a_request_that_makes_no_sense_stops_nobody(change):
    estate = Estate(["odd", "sound"], ARMS)
    estate.data()
    estate.cluster.publish(TRIALS, replace(estate.requests()[0], **{"app": "odd", **change}))
    estate.cluster.run()
    estate.cluster.tick()
    estate.work(quality)
    assert estate.cluster.restarts == 0
    assert len(estate.tasks()["sound"]) >= len(ARMS)
    check_repeatable(estate)


@pytest.mark.parametrize("seed", range(4))
def test_decisions_are_repeatable_when_versions_and_algorithms_come_between(seed):
    rng = random.Random(seed)
    estate = Estate([f"app{n}" for n in range(6)], ARMS, devices=3, rng=random.Random(seed))
    estate.data()
    for step in range(6):
        for _ in range(8):
            for trial in rng.sample(estate.open(), min(len(estate.open()), 2)):
                estate.end(trial, quality(trial) if rng.random() < 0.9 else None)
            estate.cluster.run()
        if step % 2:
            estate.announce({f"new{step}": 0.5})
        else:
            estate.version(rng.choice(estate.apps), 40 * (step + 2), f"v{step + 2}")
        estate.cluster.tick()
    estate.work(quality)
    assert {trial.algorithm for trial in estate.assigned()} == {*ARMS, "new1", "new3", "new5"}
    check_repeatable(estate)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_first_and_dies_nothing_is_lost_or_counted_twice(seed):
    """Any order of partitions and topics, kills at every point of a batch: the books are right all the same."""
    rng = random.Random(seed)
    estate = Estate([f"app{n}" for n in range(5)], ARMS, devices=2, rng=random.Random(seed + 100))
    estate.data()
    done = 0
    while trials := estate.open():
        done += 1
        assert done < 200
        estate.cluster.kill("automl", rng.choice(POINTS), rng.randint(1, 3))
        for trial in rng.sample(trials, min(len(trials), rng.randint(1, 3))):
            estate.end(trial, quality(trial))
        estate.cluster.tick()
    assert estate.cluster.restarts > 5
    check_books(estate)
    check_repeatable(estate)


def test_several_schedulers_each_decide_for_their_partitions():
    """A scheduler that knows some partitions only decides among their apps, as a second process would."""
    estate = Estate([f"app{n}" for n in range(6)], ARMS)
    estate.data()
    estate.work(quality)
    trial = estate.assigned()[3]
    half = [event for event in estate.cluster.events(TRIALS) if event.partition % 2 == 0]
    choice = decided_again(half, replace(trial, seen=SEEN))
    assert choice is None
    some = [event for event in half if not isinstance(event.data, TrialFinished)]
    choice = decided_again([e for e in some if not isinstance(e.data, TrialAssigned)], replace(trial, seen=SEEN))
    assert choice is not None
    assert partition_of(choice.app, 4) % 2 == 0


def test_a_repeated_request_is_no_new_one():
    estate = Estate(["churn"], ARMS)
    estate.data()
    estate.version("churn", 41, "v2")
    estate.cluster.run()
    first, second = estate.said(TrialRequested)[0], estate.said(TrialRequested)[-1]
    assert (first.data.round, second.data.round) == (1, 1)
    estate.cluster.publish(TRIALS, first.data, id=first.id)
    estate.work(quality)
    assert {trial.data_version for trial in estate.assigned()[2:]} == {"v2"}
