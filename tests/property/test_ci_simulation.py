"""Promises of the gate that only many runs can show: wrong decisions, leakage, labels per decision."""

import math

import numpy as np
import pytest
from ci_worlds import judge, world

from easeml.ci import TestSetLedger, plan

CONDITION = "n - o > 0.02 +/- 0.01"


def allowed(delta, runs):
    """Return delta and three standard errors."""
    return delta + 3 * math.sqrt(delta * (1 - delta) / runs)


@pytest.mark.parametrize(
    ("condition", "gain", "both_wrong", "protocol"),
    [
        ("n - o > 0.02 +/- 0.05", 0.02, 0.08, {}),
        # so wide that the exact test at the cap decides most runs
        ("n - o > 0.02 +/- 0.15", 0.02, 0.08, {}),
        ("n - o < 0.02 +/- 0.05 and d < 0.6 +/- 0.1", 0.02, 0.08, {}),
        # agreements weigh little: 0.85 * 1.047... = 0.89, and a part of them is labelled
        (f"n > {0.89 / 0.85!r} * o +/- 0.05", 0.04, 0.0, {}),
        ("n - o > 0.02 +/- 0.05", 0.04, 0.0, {"scores": [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]}),
        ("n[side=left] - o[side=left] > 0.02 +/- 0.07", 0.02, 0.0, {"slices": {"side=left": np.arange(400) % 2 == 0}}),
    ],
)
def test_wrong_decisions_stay_below_delta(condition, gain, both_wrong, protocol):
    """On the threshold neither 'passed' nor 'failed' may come more often than delta; d is not known."""
    rng, runs, delta = np.random.default_rng(3), 200, 0.1
    counts = {"PASSED": 0, "FAILED": 0, "UNDECIDED": 0}
    for _ in range(runs):
        old, new = world(rng, 400, 0.26 if gain == 0.04 else 0.3, both_wrong, gain)
        book = TestSetLedger(
            400, condition=condition, reliability=1 - delta, steps=1, adaptivity="none", rng=rng, **protocol
        )
        counts[judge(book, "new", new, old).outcome] += 1
    assert counts["PASSED"] / runs <= allowed(delta, runs)
    assert counts["FAILED"] / runs <= allowed(delta, runs)


def test_labels_per_decision():
    """Medians beside the bars of the label table; the benchmark plays 2,000 runs."""
    rng, protocol = np.random.default_rng(5), {"reliability": 0.999, "steps": 1, "adaptivity": "none"}
    plays = ((0.0, "FAILED", 450, 60), (0.04, "PASSED", 450, 60), (0.02, "UNDECIDED", 1250, 10))
    for gain, outcome, most, runs in plays:
        verdicts = []
        for _ in range(runs):
            old, new = world(rng, 12_500, 0.1, 0.0, gain)
            book = TestSetLedger(12_500, condition=CONDITION, rng=rng, **protocol)
            verdicts.append(judge(book, "new", new, old, unlabelled=(10**6, 10**7)))
        assert np.median([verdict.labels_used for verdict in verdicts]) <= most
        assert max(verdict.labels_used for verdict in verdicts) <= 1250
        assert sum(verdict.outcome == outcome for verdict in verdicts) >= runs - 2


def test_votes_of_random_predictors():
    """Keep the sign of each bit and let the predictors vote: the size for full feedback withstands it."""
    rng, epsilon, runs = np.random.default_rng(13), 0.05, 40
    broken = {}
    for adaptivity in ("none", "full"):
        n = plan(f"n > 0.5 +/- {epsilon}", reliability=0.99, steps=32, adaptivity=adaptivity).reference
        broken[adaptivity] = 0
        for _ in range(runs):
            right = rng.integers(2, size=(32, n)) * 2 - 1
            signs = np.where(right.mean(axis=1) > 0, 1, -1)
            vote = (signs[:, None] * right).sum(axis=0) + rng.choice([-0.5, 0.5], size=n)
            broken[adaptivity] += abs(float((vote > 0).mean()) - 0.5) > epsilon
    assert broken["none"] > runs // 8
    assert broken["full"] == 0


def test_an_attack_through_the_ledger_learns_nothing():
    rng, n = np.random.default_rng(17), 1500
    passed = 0
    for _ in range(2):
        book = TestSetLedger(n, condition="n > 0.5 +/- 0.05", reliability=0.99, steps=33, mode="fn-free", rng=rng)
        guesses = rng.integers(2, size=(32, n))
        bits = [judge(book, str(step), guess).signal for step, guess in enumerate(guesses)]
        votes = np.where(np.array(bits)[:, None], guesses, 1 - guesses).sum(axis=0) + rng.choice([-0.5, 0.5], size=n)
        verdict = judge(book, "vote", (votes > 16).astype(int))
        passed += verdict.outcome == "PASSED"
    assert passed == 0
