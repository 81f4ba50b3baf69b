import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from easeml.automl import Scheduler
from easeml.automl.scheduler import POLICIES
from easeml.automl.turns import FREEZE
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError

ALGORITHMS = ["a", "b", "c", "d"]
DATA = Path(os.environ.get("EASEML_REFERENCE_DATA", Path(__file__).parents[4] / "shared" / "data")) / "automl"


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


def test_fcfs_goes_tenant_by_tenant_and_round_robin_in_turn():
    assert [tenant for tenant, _ in drive(make("fcfs"), lambda *_: 0.5)] == ["t1"] * 4 + ["t2"] * 4 + ["t3"] * 4
    assert [tenant for tenant, _ in drive(make("round_robin"), lambda *_: 0.5)] == ["t1", "t2", "t3"] * 4


def test_random_is_the_same_with_the_same_seed():
    assert drive(make("random"), lambda *_: 0.5) == drive(make("random"), lambda *_: 0.5)


@pytest.mark.parametrize("policy", ["hybrid", "gp_ei"])
def test_cheap_algorithms_go_first_then_the_order_of_announcement(policy):
    scheduler = make(policy, tenants=["t"], costs={"c": 0.01, "b": 0.1})
    assert [algorithm for _, algorithm in drive(scheduler, lambda *_: 0.7)] == ["c", "b", "a", "d"]


def test_one_cheap_probe_tells_what_the_others_cost():
    rng = np.random.default_rng(0)
    size = rng.lognormal(0, 1, 40)
    history = rng.random((40, 2)), np.column_stack([0.1 * size, size**2])
    scheduler = Scheduler(["probe", "slow"], history=history)
    scheduler.add_tenant("small", costs={"probe": 0.1 * 0.2})
    scheduler.add_tenant("large", costs=[0.1 * 5, 25.0])
    scheduler.add_tenant("unknown")
    seconds = {name: tenant.expected_seconds() for name, tenant in scheduler._tenants.items()}
    assert seconds["small"][1] == pytest.approx(0.2**2, rel=0.5)
    np.testing.assert_allclose(seconds["large"], [0.5, 25.0])
    assert 0.2 < seconds["unknown"][1] < 5


def test_greedy_prefers_the_tenant_with_most_to_gain():
    order = drive(make("greedy"), lambda tenant, _: {"t1": 0.99, "t2": 0.5, "t3": 0.98}[tenant])
    assert [tenant for tenant, _ in order[:3]] == ["t1", "t2", "t3"]
    assert order[3][0] == "t2"


def test_gp_ei_prefers_the_gain_that_costs_least():
    scheduler = Scheduler(ALGORITHMS, policy="gp_ei")
    scheduler.add_tenant("slow", costs=dict.fromkeys(ALGORITHMS, 10.0))
    scheduler.add_tenant("quick", costs=dict.fromkeys(ALGORITHMS, 1.0))
    order = [tenant for tenant, _ in drive(scheduler, lambda *_: 0.7)]
    assert order[:5] == ["slow", "quick", "quick", "quick", "quick"]


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
    assert greedy[3:parted].count("t2") > (parted - 3) / 2, "greedy stays with the hopeless tenant"
    assert hybrid.count("t2") < greedy.count("t2")
    assert sorted(hybrid[parted : parted + 3]) == ["t1", "t2", "t3"]
    jumped = order("hybrid", parted - 1)
    assert jumped[parted : parted + 6] != hybrid[parted : parted + 6], "an improvement starts GREEDY again"


def test_priority_shifts_turns():
    scheduler = Scheduler(ALGORITHMS, policy="round_robin")
    scheduler.add_tenant("slow", priority=1)
    scheduler.add_tenant("fast", priority=3)
    assert [tenant for tenant, _ in drive(scheduler, lambda *_: 0.5)][:6].count("fast") == 4


@pytest.mark.parametrize("policy", ["hybrid", "greedy", "gp_ei"])
def test_a_tenant_whose_runs_all_fail_has_its_turns_and_no_more(policy):
    scheduler = Scheduler([f"a{i:02}" for i in range(30)], policy=policy)
    for tenant in ("broken", "sound", "other"):
        scheduler.add_tenant(tenant)
    turns = []
    for step in range(30):
        tenant, algorithm = scheduler.next()
        turns.append(tenant)
        if tenant == "broken":
            scheduler.fail(tenant, algorithm, "it broke")
        else:
            scheduler.finish(tenant, algorithm, 0.6 + 0.01 * (step % 7), 1.0)
    assert 5 <= turns.count("broken") <= 10


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


def test_devices_do_not_try_twins_at_the_same_time():
    rng = np.random.default_rng(3)
    hard, other = rng.random(30), rng.random(30)
    quality = np.column_stack([0.6 + 0.3 * hard, 0.6 + 0.3 * hard, 0.6 + 0.3 * other])
    scheduler = Scheduler(["one", "twin", "other"], history=(quality, np.ones((30, 3))))
    scheduler.add_tenant("t")
    first, second = scheduler.next(0)[1], scheduler.next(1)[1]
    assert sorted([first == "other", second == "other"]) == [False, True]


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


@pytest.mark.parametrize("policy", ["hybrid", "greedy", "gp_ei"])
def test_a_new_algorithm_goes_first_where_it_promises_most(policy):
    scheduler = make(policy)
    drive(scheduler, lambda tenant, _: {"t1": 0.8, "t2": 0.6, "t3": 0.95}[tenant])
    scheduler.add_algorithm("e")
    assert [tenant for tenant, _ in drive(scheduler, lambda *_: 0.5)] == ["t2", "t1", "t3"]


def test_a_tenant_that_joins_late_is_served_next():
    scheduler = make("greedy")
    drive(scheduler, lambda *_: 0.5, steps=7)
    scheduler.add_tenant("late", priority=0.001)
    assert scheduler.next()[0] == "late"


def test_regret_by_hand():
    scheduler = Scheduler(["a", "b"], policy="fcfs", costs=[1.0, 5.0])
    scheduler.add_tenant("t")
    scheduler.next(), scheduler.next()
    scheduler.finish("t", "a", 0.6, 2.0)
    scheduler.add_tenant("waits")
    scheduler.finish("t", "b", 0.9, 4.0)
    each, average = scheduler.regret()
    assert each == {"t": pytest.approx(2.0 * 0.9 + 4.0 * 0.3), "waits": 0.0}
    assert average == pytest.approx(each["t"] / 2)
    each, _ = scheduler.regret({"t": 1.0, "waits": 0.7})
    assert each == {"t": pytest.approx(2.0 * 1.0 + 4.0 * 0.4), "waits": pytest.approx(4.0 * 0.7)}
    assert scheduler.regret({"t": 0.1})[0]["t"] == pytest.approx(2.0 * 0.9 + 4.0 * 0.3), "surpassed"
    assert Scheduler(["a"]).regret() == ({}, 0.0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"policy": "oracle"}, ConfigurationError, "hybrid, greedy, round_robin, random, fcfs, gp_ei"),
        ({"policy": "random"}, ConfigurationError, "rng"),
        ({"delta": 1.0}, ConfigurationError, "between 0 and 1"),
        ({"delta": math.nan}, ConfigurationError, "between 0 and 1"),
        ({"history": (np.ones((3, 2)), np.ones((3, 2)))}, InvalidDataError, "one column per algorithm"),
        ({"history": (np.ones((3, 4)), np.ones((2, 4)))}, InvalidDataError, "one row per past task"),
        ({"history": (np.ones((1, 4)), np.ones((1, 4)))}, InvalidDataError, "two tasks"),
        ({"history": (np.full((3, 4), 1.1), np.ones((3, 4)))}, InvalidDataError, "leave tasks out"),
        ({"history": (np.ones((3, 4)), np.full((3, 4), np.nan))}, InvalidDataError, "leave tasks out"),
        ({"costs": {"a": 0.0}}, InvalidDataError, "'a' was 0.0"),
        ({"costs": {"a": math.inf}}, InvalidDataError, "above 0"),
        ({"costs": [1.0, 2.0]}, InvalidDataError, "one cost per algorithm"),
        ({"costs": {"z": 1.0}}, NotFoundError, "'z'"),
        ({"algorithms": ["a", "a"]}, InvalidDataError, "once"),
    ],
)
def test_wrong_settings_say_what_to_do(options, error, words):
    with pytest.raises(error, match=words):
        Scheduler(**{"algorithms": ALGORITHMS} | options)


def test_wrong_events_say_what_to_do_and_change_nothing():
    scheduler = make(tenants=["t"])
    _, algorithm = scheduler.next()
    before = scheduler.state()
    for priority in (0, -1, math.nan, math.inf):
        with pytest.raises(InvalidDataError, match="priority"):
            scheduler.add_tenant("u", priority=priority)
    for event, error, words in [
        (lambda: scheduler.add_tenant("t"), ConflictError, "Remove it first"),
        (lambda: scheduler.add_tenant("u", costs={"a": -1.0}), InvalidDataError, "above 0"),
        (lambda: scheduler.add_algorithm("e", math.nan), InvalidDataError, "above 0"),
        (lambda: scheduler.remove_tenant("u"), NotFoundError, "add_tenant"),
        (lambda: scheduler.finish("u", "a", 0.5, 1.0), NotFoundError, "add_tenant"),
        (lambda: scheduler.finish("t", "z", 0.5, 1.0), NotFoundError, "add_algorithm"),
        (lambda: scheduler.finish("t", "d", 0.5, 1.0), NotFoundError, "next"),
        (lambda: scheduler.fail("t", "d", "why"), NotFoundError, "next"),
        (lambda: scheduler.finish("t", algorithm, math.nan, 1.0), InvalidDataError, r"fail\(\)"),
        (lambda: scheduler.finish("t", algorithm, 1.01, 1.0), InvalidDataError, r"\[0, 1\]"),
        (lambda: scheduler.finish("t", algorithm, 0.5, -1.0), InvalidDataError, "not negative"),
        (lambda: scheduler.finish("t", algorithm, 0.5, math.inf), InvalidDataError, "finite"),
    ]:
        with pytest.raises(error, match=words):
            event()
    assert scheduler.state() == before
    scheduler.remove_tenant("t")
    assert scheduler.next() is None


def test_nothing_to_schedule():
    assert Scheduler([]).next() is None
    scheduler = Scheduler([])
    scheduler.add_tenant("t")
    assert scheduler.next() is None
    scheduler.add_algorithm("a")
    assert scheduler.next() == ("t", "a")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_that_took_no_time_and_scored_nothing_does_no_harm(policy):
    scheduler = make(policy)
    order = []
    while (choice := scheduler.next()) is not None:
        order.append(choice)
        scheduler.finish(*choice, 0.0, 0.0)
    assert len(set(order)) == 12
    json.dumps(scheduler.state(), allow_nan=False)


@pytest.mark.parametrize("policy", ["hybrid", "gp_ei"])
def test_reference_matrix_costs_a_fraction_of_trying_popular_models_first(policy):
    if not DATA.is_dir():
        pytest.skip("The reference data are not there.")
    with np.load(DATA / "oboe_openml.npz") as data:
        quality, cost, split = data["quality"].astype(float), np.minimum(data["cost"], 100.0), data["split"]
    past = split == 0
    popular = np.argsort(-quality[past].mean(axis=0), kind="stable")
    spent = {policy: 0.0, "popular": 0.0}
    for draw in range(4):
        rows = np.random.default_rng(draw).choice(np.flatnonzero(~past), 10, replace=False)
        top = quality[rows].max(axis=1)

        def until(choose, rows=rows, top=top):
            best, seconds = np.zeros(10), 0.0
            while (top - best).mean() > 0.02:
                tenant, model = choose()
                seconds += float(cost[rows[tenant], model])
                best[tenant] = max(best[tenant], quality[rows[tenant], model])
            return seconds

        scheduler = Scheduler([str(k) for k in range(219)], policy=policy, history=(quality[past], cost[past]))
        for tenant in range(10):
            scheduler.add_tenant(str(tenant))

        def choose(scheduler=scheduler, rows=rows):
            tenant, model = scheduler.next()
            row = rows[int(tenant)]
            scheduler.finish(tenant, model, float(quality[row, int(model)]), float(cost[row, int(model)]))
            return int(tenant), int(model)

        turns = iter([(tenant, model) for model in popular.tolist() for tenant in range(10)])
        spent[policy] += until(choose)
        spent["popular"] += until(lambda turns=turns: next(turns))
    assert spent[policy] <= spent["popular"] / 8
