"""The scheduler against posteriors, integrals and books kept the slow way."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from easeml.automl import Scheduler
from easeml.automl.acquisition import FLOOR, expected_improvement, floored, upper_bounds
from easeml.automl.belief import Belief
from easeml.automl.kernel import COST_NOISE, QUALITY_NOISE, Prior, cost_prior, quality_prior
from easeml.automl.scheduler import POLICIES
from easeml.automl.turns import PATIENCE

SEEDS = st.integers(0, 2**32 - 1)
FAIR = ("hybrid", "greedy", "gp_ei")


def past(seed, tasks, arms):
    """Draw a history in which arms resemble one another and tasks differ in level and size."""
    rng = np.random.default_rng(seed)
    quality = 0.7 + 0.2 * rng.normal(size=(tasks, 1)) + 0.1 * rng.normal(size=(tasks, 2)) @ rng.normal(size=(2, arms))
    cost = np.exp(rng.normal(size=(tasks, 1)) + rng.normal(size=arms) + 0.1 * rng.normal(size=(tasks, arms)))
    return np.clip(quality, 0, 1), cost


def posterior(prior, noise, runs):
    """Return mean and covariance after ``runs`` = [(arm, value)], by the closed form."""
    if not runs:
        return prior.mean, prior.covariance
    index, values = [arm for arm, _ in runs], np.array([value for _, value in runs])
    gram = prior.covariance[np.ix_(index, index)] + noise**2 * np.eye(len(index))
    cross = prior.covariance[:, index]
    mean = prior.mean + cross @ np.linalg.solve(gram, values - prior.mean[index])
    return mean, prior.covariance - cross @ np.linalg.solve(gram, cross.T)


@given(SEEDS, st.integers(1, 8), st.lists(st.integers(0, 7), max_size=10), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_rank_one_updates_are_the_full_posterior(seed, arms, order, under_way):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(arms, arms))
    prior = Prior(rng.normal(size=arms), factor @ factor.T)
    runs = [(arm % arms, float(rng.normal())) for arm in order]
    belief = Belief(prior, 0.1)
    for arm, value in runs:
        belief.observe(arm, value)
    mean, covariance = posterior(prior, 0.1, runs)
    np.testing.assert_allclose(belief.mean, mean, atol=1e-7)
    np.testing.assert_allclose(belief.variance, np.diag(covariance), atol=1e-7)
    running = rng.integers(0, arms, under_way).tolist()
    _, narrower = posterior(prior, 0.1, [*runs, *((arm, 9.0) for arm in running)])
    np.testing.assert_allclose(belief.variance_after(running), np.diag(narrower), atol=1e-7)
    np.testing.assert_allclose(belief.variance, np.diag(covariance), atol=1e-7, err_msg="looking ahead changes nothing")


@given(st.floats(-1, 2), st.floats(0.001, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_expected_improvement_is_the_integral(mean, deviation, best):
    ours = expected_improvement(np.array([mean]), np.array([deviation**2]), best)[0]
    low, high = max(best, mean - 12 * deviation), max(best, mean + 12 * deviation)
    exact, _ = quad(lambda quality: (quality - best) * norm.pdf(quality, mean, deviation), low, high, limit=200)
    assert ours == pytest.approx(exact, abs=1e-8)


def test_expected_improvement_of_a_sure_arm_is_its_lead():
    gains = expected_improvement(np.array([0.9, 0.5, 0.1]), np.zeros(3), 0.5)
    np.testing.assert_allclose(gains, [0.4, 0.0, 0.0], atol=1e-9)


@given(SEEDS, st.integers(1, 20), st.integers(1, 50), st.sampled_from([1.0, 60.0, 1e-6]))
@settings(max_examples=40, deadline=None)
def test_bounds_fall_with_cost_and_know_no_unit(seed, arms, step, unit):
    rng = np.random.default_rng(seed)
    seconds = floored(rng.lognormal(0, 3, arms))
    assert seconds.min() >= FLOOR * (seconds.mean() / (1 + FLOOR)) * 0.999
    bounds = upper_bounds(np.zeros(arms), np.ones(arms), seconds, step, 0.1)
    np.testing.assert_allclose(bounds, upper_bounds(np.zeros(arms), np.ones(arms), seconds * unit, step, 0.1))
    assert np.all(np.diff(bounds[np.argsort(seconds)]) <= 1e-12)
    beta = math.log(arms * step**2 / 0.1)
    assert np.exp(np.log(bounds).mean()) == pytest.approx(math.sqrt(beta)), "on average the plain GP-UCB bound"


@given(SEEDS, st.integers(2, 6), st.integers(1, 7), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_priors_are_covariances_and_new_arms_have_their_own(seed, tasks, known, new):
    quality, cost = past(seed, tasks, known)
    hints = np.full(known + new, np.nan)
    hints[known:] = 1.0
    seconds = cost_prior(cost, hints)
    np.testing.assert_allclose(np.exp(seconds.mean[:known]), np.exp(np.log(cost).mean(axis=0)))
    prior = quality_prior(quality, seconds.mean)
    np.testing.assert_allclose(prior.mean[:known], quality.mean(axis=0))
    for each in (prior, seconds):
        assert each.mean.shape == (known + new,)
        np.testing.assert_allclose(each.covariance, each.covariance.T)
        assert np.linalg.eigvalsh(each.covariance).min() > -1e-9
        for arm in range(known, known + new):
            others = [(other, 0.0) for other in range(known + new) if other != arm]
            assert posterior(each, 1e-4, others)[1][arm, arm] > 0.5 * QUALITY_NOISE**2, "no other arm tells all"
    assert np.all(
        (prior.mean[known:] >= quality.mean(axis=0).min()) & (prior.mean[known:] <= quality.mean(axis=0).max())
    )


def oracle_scores(policy, prior, costs, runs, running, delta=0.1):
    """Return the scores of every arm from closed-form posteriors; ``runs`` = [(arm, quality, cost)]."""
    mean, _ = posterior(prior, QUALITY_NOISE, [(arm, quality) for arm, quality, _ in runs])
    ahead = [(arm, quality) for arm, quality, _ in runs] + [(arm, 0.0) for arm in running]
    variance = np.maximum(np.diag(posterior(prior, QUALITY_NOISE, ahead)[1]), 0.0)
    seconds = np.exp(posterior(costs, COST_NOISE, [(arm, math.log(cost)) for arm, _, cost in runs])[0])
    seconds = np.maximum(seconds, 0.02 * seconds.mean())
    best = max((quality for _, quality, _ in runs), default=0.0)
    if policy == "gp_ei":
        deviation = np.sqrt(variance) + 1e-12
        score = (mean - best) / deviation
        scores = ((mean - best) * norm.cdf(score) + deviation * norm.pdf(score)) / seconds
    else:
        beta = math.log(len(mean) * (len(runs) + len(running) + 1) ** 2 / delta)
        scores = mean + np.sqrt(beta * np.exp(np.log(seconds).mean()) / seconds * variance)
    scores[[*running, *(arm for arm, *_ in runs)]] = -np.inf
    return scores


@given(SEEDS, st.sampled_from(["round_robin", *FAIR]), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_every_arm_chosen_is_the_best_by_closed_forms(seed, policy, devices):
    quality, cost = past(seed, 12, 8)
    history = quality[:9], cost[:9]
    scheduler = Scheduler([str(k) for k in range(8)], policy=policy, history=history)
    for tenant in range(3):
        scheduler.add_tenant(str(tenant))
    seconds = cost_prior(history[1], np.full(8, np.nan))
    prior = quality_prior(history[0], seconds.mean)
    done, busy = {str(t): [] for t in range(3)}, []
    for _ in range(15):
        while len(busy) < devices:
            running = {t: [arm for tenant, arm in busy if tenant == t] for t in done}
            tenant, name = scheduler.next(len(busy))
            scores = oracle_scores(policy, prior, seconds, done[tenant], running[tenant])
            assert scores[int(name)] >= scores.max() - 1e-6 * max(1.0, abs(scores.max()))
            busy.append((tenant, int(name)))
        tenant, arm = busy.pop(0)
        row = 9 + int(tenant)
        scheduler.finish(tenant, str(arm), quality[row, arm], cost[row, arm])
        done[tenant].append((arm, quality[row, arm], cost[row, arm]))


EVENTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), max_size=45)


@given(EVENTS, st.sampled_from(POLICIES), SEEDS, st.booleans())
@settings(max_examples=80, deadline=None)
def test_books_hold_and_the_state_continues_identically(events, policy, seed, with_history):
    rng = np.random.default_rng(seed)
    one = Scheduler(
        list("abcd"),
        policy=policy,
        delta=0.2,
        history=past(seed, 5, 4) if with_history else None,
        costs={"b": 3.0},
        rng=np.random.default_rng(seed) if policy == "random" else None,
    )
    started, running, failed, regret, best = set(), [], [], {}, {}
    for kind, pick in events:
        # What was written and read again, and so has no cache, must decide the same.
        again = Scheduler.from_state(json.loads(json.dumps(one.state(), allow_nan=False)))
        assert again.state() == one.state()
        both = (one, again)
        if kind == 0 and len(regret) < 4:
            name, priority = f"t{pick}", 1.0 + pick % 3
            if name not in regret:
                regret[name], best[name] = [], 0.0
                for scheduler in both:
                    scheduler.add_tenant(name, costs={"a": 0.5} if pick % 2 else None, priority=priority)
        elif kind <= 5 and (choice := one.next(pick)) is not None:
            assert again.next(pick) == choice
            assert choice not in started, "never twice"
            assert choice[0] in regret
            idle = [name for name in regret if not any(tenant == name for tenant, _ in started)]
            if policy not in {"fcfs", "random"} and idle:
                assert choice[0] in idle, "everybody runs once first"
            started.add(choice)
            running.append(choice)
        elif kind == 6 and running:
            failed.append(running.pop(pick % len(running)))
            for scheduler in both:
                scheduler.fail(*failed[-1], "why")
        elif kind == 7:
            for scheduler in both:
                scheduler.add_algorithm(f"e{pick % 2}", 0.5 + pick)
        elif kind == 8 and regret:
            name = sorted(regret)[pick % len(regret)]
            for scheduler in both:
                scheduler.remove_tenant(name)
            del regret[name], best[name]
            started, running, failed = ([c for c in old if c[0] != name] for old in (started, running, failed))
            started = set(started)
        elif running or failed:
            source = failed if failed and (pick % 4 == 0 or not running) else running
            tenant, algorithm = source.pop(pick % len(source))
            quality, cost = float(rng.random()), float(rng.lognormal())
            for name, log in regret.items():
                log.append((cost, best[name]))
            best[tenant] = max(best[tenant], quality)
            for scheduler in both:
                scheduler.finish(tenant, algorithm, quality, cost)
        assert again.state() == one.state()
        each, average = one.regret(dict.fromkeys(regret, 1.0))
        assert each == {name: pytest.approx(sum(c * (1.0 - b) for c, b in log)) for name, log in regret.items()}
        assert average == pytest.approx(sum(each.values()) / len(each) if each else 0.0)
    arms = len(one.algorithms)
    left = arms * len(regret) - len(started)
    assert sum(one.next() is not None for _ in range(left + 1)) == left, "whatever is open is given, nothing else"


@given(
    SEEDS,
    st.sampled_from(["round_robin", *FAIR]),
    st.lists(st.sampled_from([0.2, 0.5, 1.0, 1.0, 3.0]), min_size=2, max_size=6),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_no_tenant_waits_longer_than_its_share_allows(seed, policy, priorities, devices):
    rng = np.random.default_rng(seed)
    arms, turns, joins = 120, 90, 40
    scheduler = Scheduler([f"a{k:03}" for k in range(arms)], policy=policy, costs=rng.lognormal(0, 1, arms))
    level, spread = rng.random(len(priorities)), rng.choice([0.0, 0.05], len(priorities))
    last, busy = {}, []
    for turn in range(1, turns + 1):
        for tenant in range(len(priorities)):
            # The last one joins when the others have had many turns: it must not have all of them now.
            if tenant not in last and (turn == joins or tenant < len(priorities) - 1):
                scheduler.add_tenant(str(tenant), priority=priorities[tenant])
                last[tenant] = turn
        tenant, algorithm = scheduler.next()
        busy.append((tenant, algorithm))
        last[int(tenant)] = turn
        for other, since in last.items():
            share = priorities[other] / sum(priorities)
            assert turn - since <= PATIENCE / share + len(priorities)
        if len(busy) == devices:
            who, what = busy.pop(int(rng.integers(devices)))
            if rng.random() < 0.1:
                scheduler.fail(who, what, "it broke")
            else:
                quality = float(np.clip(level[int(who)] + spread[int(who)] * rng.normal(), 0, 1))
                scheduler.finish(who, what, quality, float(rng.lognormal()))
