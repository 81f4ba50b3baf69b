import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.automl import Scheduler
from easeml.automl.belief import NOISE, Belief, Prior
from easeml.automl.scheduler import FREEZE, POLICIES
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError

ALGORITHMS = ["a", "b", "c", "d"]


def drive(scheduler, quality, steps=100):
    order = []
    while len(order) < steps and (choice := scheduler.next()) is not None:
        order.append(choice)
        scheduler.finish(*choice, quality(*choice), 1.0)
    return order


def make(policy="hybrid", tenants=("t1", "t2", "t3"), **options):
    scheduler = Scheduler(ALGORITHMS, policy=policy, rng=np.random.default_rng(0), **options)
    for tenant in tenants:
        scheduler.add_tenant(tenant)
    return scheduler


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_runs_everything_once(policy):
    order = drive(make(policy), lambda *_: 0.5)
    assert len(order) == len(set(order)) == 12


def test_fcfs_goes_tenant_by_tenant_and_round_robin_in_turn():
    assert [tenant for tenant, _ in drive(make("fcfs"), lambda *_: 0.5)] == ["t1"] * 4 + ["t2"] * 4 + ["t3"] * 4
    assert [tenant for tenant, _ in drive(make("round_robin"), lambda *_: 0.5)] == ["t1", "t2", "t3"] * 4


def test_random_is_the_same_with_the_same_seed():
    assert drive(make("random"), lambda *_: 0.5) == drive(make("random"), lambda *_: 0.5)


def test_cheap_algorithms_go_first_then_the_order_of_announcement():
    scheduler = make(tenants=["t"], costs={"c": 0.01, "b": 0.1})
    assert [algorithm for _, algorithm in drive(scheduler, lambda *_: 0.7)] == ["c", "b", "a", "d"]


def test_greedy_prefers_the_tenant_with_most_to_gain():
    order = drive(make(), lambda tenant, _: {"t1": 0.99, "t2": 0.5, "t3": 0.98}[tenant])
    assert [tenant for tenant, _ in order[:3]] == ["t1", "t2", "t3"]
    assert order[3][0] == "t2"


def test_hybrid_takes_turns_while_greedy_is_frozen_and_returns_when_a_tenant_improves():
    many = [f"a{i:02}" for i in range(40)]
    qualities = {"t1": 0.9, "t2": 0.2, "t3": 0.9}

    def order(policy, jump_at):
        scheduler = Scheduler(many, policy=policy)
        for tenant in qualities:
            scheduler.add_tenant(tenant)
        taken = []
        for step in range(60):
            tenant, algorithm = scheduler.next()
            taken.append(tenant)
            jumped = step == jump_at
            scheduler.finish(tenant, algorithm, 0.95 if jumped else qualities[tenant], 1.0)
        return taken

    greedy, hybrid = order("greedy", None), order("hybrid", None)
    parted = next(step for step in range(60) if greedy[step] != hybrid[step])
    assert parted > FREEZE
    assert greedy[:parted] == ["t1", "t2", "t3", *["t2"] * (parted - 3)], "greedy stays with the hopeless tenant"
    assert hybrid[parted] == "t1"
    assert hybrid.count("t2") < greedy.count("t2")
    jumped = order("hybrid", parted - 1)
    assert jumped[parted : parted + 3] != hybrid[parted : parted + 3], "an improvement starts GREEDY again"


def test_priority_shifts_turns():
    scheduler = Scheduler(ALGORITHMS, policy="round_robin")
    scheduler.add_tenant("slow", priority=1)
    scheduler.add_tenant("fast", priority=3)
    assert [tenant for tenant, _ in drive(scheduler, lambda *_: 0.5)][:6].count("fast") == 4


def test_history_makes_similar_algorithms_follow_each_other():
    rng = np.random.default_rng(3)
    hard = rng.random(30)
    quality = np.column_stack([0.5 + 0.4 * hard, 0.5 + 0.4 * hard, 0.9 - 0.4 * hard, 0.9 - 0.4 * hard])
    scheduler = Scheduler(ALGORITHMS, history=(quality, np.ones((30, 4))))
    scheduler.add_tenant("t")
    truth = {"a": 0.9, "b": 0.9, "c": 0.5, "d": 0.5}
    order = [algorithm for _, algorithm in drive(scheduler, lambda _, algorithm: truth[algorithm])]
    first = order[0]
    assert order[1] == {"a": "b", "b": "a", "c": "a", "d": "a"}[first]


def test_running_algorithms_are_not_given_twice_and_failures_not_again():
    scheduler = make(tenants=["t"])
    seen = [scheduler.next(device)[1] for device in range(4)]
    assert sorted(seen) == ALGORITHMS
    assert scheduler.next(9) is None
    scheduler.fail("t", seen[0], "it broke")
    assert scheduler.next(0) is None
    scheduler.finish("t", seen[0], 0.8, 1.0)  # a late result counts
    with pytest.raises(ConflictError):
        scheduler.finish("t", seen[0], 0.8, 1.0)


def test_a_new_algorithm_reopens_every_tenant():
    scheduler = make()
    drive(scheduler, lambda *_: 0.5)
    scheduler.add_algorithm("e", 0.1)
    scheduler.add_algorithm("e", 0.2)
    assert sorted(drive(scheduler, lambda *_: 0.6)) == [("t1", "e"), ("t2", "e"), ("t3", "e")]


def test_regret_by_hand():
    scheduler = Scheduler(["a", "b"], policy="fcfs", costs={"a": 1.0, "b": 5.0})
    scheduler.add_tenant("t")
    scheduler.next(), scheduler.next()
    scheduler.finish("t", "a", 0.6, 2.0)
    scheduler.finish("t", "b", 0.9, 4.0)
    each, average = scheduler.regret()
    assert each["t"] == average == pytest.approx(2.0 * 0.9 + 4.0 * 0.3)
    assert scheduler.regret({"t": 1.0})[1] == pytest.approx(2.0 * 1.0 + 4.0 * 0.4)
    assert Scheduler(["a"]).regret() == ({}, 0.0)


def test_errors_say_what_to_do():
    with pytest.raises(ConfigurationError, match="hybrid, greedy, round_robin, random, fcfs"):
        Scheduler(ALGORITHMS, policy="gp_ei")
    with pytest.raises(ConfigurationError, match="rng"):
        Scheduler(ALGORITHMS, policy="random")
    with pytest.raises(InvalidDataError, match="columns"):
        Scheduler(ALGORITHMS, history=(np.ones((3, 2)), np.ones((3, 2))))
    scheduler = make(tenants=["t"])
    with pytest.raises(ConflictError):
        scheduler.add_tenant("t")
    with pytest.raises(InvalidDataError, match="priority"):
        scheduler.add_tenant("u", priority=0)
    with pytest.raises(NotFoundError):
        scheduler.finish("nobody", "a", 0.5, 1.0)
    with pytest.raises(NotFoundError):
        scheduler.finish("t", "a", 0.5, 1.0)
    with pytest.raises(NotFoundError):
        scheduler.fail("t", "a", "why")
    _, algorithm = scheduler.next()
    with pytest.raises(InvalidDataError, match=r"fail\(\)"):
        scheduler.finish("t", algorithm, math.nan, 1.0)
    scheduler.remove_tenant("t")
    assert scheduler.next() is None


@given(st.lists(st.integers(0, 5), max_size=25), st.sampled_from(POLICIES), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_state_round_trips_at_any_moment(events, policy, seed):
    quality = np.random.default_rng(seed).random((3, 5))
    one = make(policy, delta=0.2, costs={"b": 3.0})
    for event in events:
        again = Scheduler.from_state(json.loads(json.dumps(one.state())))
        assert again.state() == one.state()
        running = [(t, a) for t, d in one.state()["tenants"].items() for a in d["running"]]
        for scheduler in (one, again):
            if event <= 2 or not running:
                scheduler.next(event)
            elif event == 3:
                scheduler.fail(*running[0], "why")
            elif event == 4:
                scheduler.add_algorithm("e", 0.5)
            else:
                tenant, algorithm = running[-1]
                place = quality[int(tenant[1]) - 1, "abcde".index(algorithm)]
                scheduler.finish(tenant, algorithm, float(place), 1.0)
        assert again.state() == one.state()


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), max_size=8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_rank_one_updates_equal_the_closed_form(arms, runs, with_history):
    history = np.random.default_rng(arms).random((7, arms)) if with_history else None
    prior = Prior(arms, history)
    belief = Belief(prior)
    seen = [(arm % arms, quality) for arm, quality in runs]
    for arm, quality in seen:
        belief.observe(arm, quality)
    if not seen:
        return
    index = [arm for arm, _ in seen]
    values = np.array([quality for _, quality in seen])
    gram = prior.covariance[np.ix_(index, index)] + NOISE**2 * np.eye(len(index))
    cross = prior.covariance[:, index]
    mean = prior.mean + cross @ np.linalg.solve(gram, values - prior.mean[index])
    covariance = prior.covariance - cross @ np.linalg.solve(gram, cross.T)
    np.testing.assert_allclose(belief.mean, mean, atol=1e-8)
    np.testing.assert_allclose(belief.covariance, covariance, atol=1e-8)


def test_upper_bounds_by_hand():
    belief = Belief(Prior(2))
    bounds = belief.upper_bounds(np.array([1.0, 3.0]), 2, 0.1)
    beta = math.log(2 * 4 / 0.1)
    sigma = math.sqrt(0.1**2 + 0.2**2)
    np.testing.assert_allclose(bounds, [0.7 + math.sqrt(beta / 0.5) * sigma, 0.7 + math.sqrt(beta / 1.5) * sigma])
