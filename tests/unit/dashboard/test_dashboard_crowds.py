"""Very many of one thing: the newest are known by name, the others are counted, whichever topic is read first."""

from __future__ import annotations

import numpy as np
import pytest
from dashboard_day import APP, NOW, event, feasibility, model, question

from easeml.dashboard import feasibility as study
from easeml.dashboard import learning, verdicts
from easeml.dashboard.house import House
from easeml.dashboard.paging import PAGE, POINTS
from easeml.labels.queue import MAX_OPEN
from easeml.stream import payloads as p

MODELS = 12_000


def view():
    house = House()
    house.fold([event(APP, 0.0)])
    return house.apps["churn"]


def stream():
    names = [f"lda-{n}" for n in range(MODELS)]
    published = [event(model(name, 0.5 + n / MODELS / 3), n) for n, name in enumerate(names)]
    judged = [event(p.Verdict("churn", name, n % 4 == 0, True), n + 0.5) for n, name in enumerate(names)]
    return published, judged


@pytest.mark.parametrize("order", ["models first", "verdicts first", "as it happened"])
def test_models_and_their_verdicts_find_each_other_whichever_topic_comes_first(order):
    published, judged = stream()
    seen = view()
    for one in {
        "models first": published + judged,
        "verdicts first": judged + published,
        "as it happened": sorted(published + judged, key=lambda one: one.recorded),
    }[order]:
        seen.fold(one)
    told = learning.models_page(seen, NOW, 0)
    assert (told["all"], told["count"], len(told["models"])) == (MODELS, 5000, PAGE)
    assert told["models"][0]["model"] == f"lda-{MODELS - 1}"
    assert {one["verdict"] for one in told["models"]} == {"passed", "not passed"}
    last = learning.models_page(seen, NOW, 4990)
    assert [one["model"] for one in last["models"]] == [f"lda-{n}" for n in range(MODELS - 4991, MODELS - 5001, -1)]
    told = verdicts.verdicts_page(seen, PAGE, details=False)
    assert (told["all"], told["passed"]) == (MODELS, MODELS // 4)
    assert [one["model"] for one in told["verdicts"][:2]] == [f"lda-{MODELS - PAGE - n}" for n in (1, 2)]


def test_the_questions_that_tell_most_are_known_as_the_label_service_withdraws_the_others():
    seen = view()
    for n in range(5 * MAX_OPEN):
        seen.fold(event(question(f"q{n}", bits=1 / (1 + n % 5000)), n))
        seen.fold(event(question(f"gone{n}", bits=2.0, expires_at=NOW + n + 0.5), n))
    best = [f"q{n}" for n in range(MAX_OPEN - 1)]  # one place is taken by a question that is about to expire
    assert all(map(seen.asks, best))
    assert seen.asked["market"].waiting(NOW + 10 * MAX_OPEN) == MAX_OPEN


def test_picks_are_told_page_by_page_and_no_drift_alarm_is_thinned_out():
    seen = view()
    for n in range(1, 1001):
        seen.fold(event(p.ModelPicked("churn", "a-1", n // 2, n, n == 777, n, {"a-1": 1 / 3, "b-2": 2 / 3}), n))
    told = learning.picker_page(seen, NOW, 450)
    assert (told["all"], told["count"], told["last"]["period"]) == (1000, 500, 1000)
    assert [one["period"] for one in told["picks"]] == list(range(550, 500, -1))
    assert [told["chart"]["picks"][place] for place in told["chart"]["drift"]] == [777]
    assert len(told["chart"]["rows"]) in {POINTS, POINTS + 1}
    assert (told["chart"]["rows"][0], told["chart"]["rows"][-1]) == (501, 1000)
    assert told["chart"]["lines"][0]["belief"][:2] == [0.33333, 0.33333]


def test_the_curves_that_are_drawn_have_points_and_all_have_a_line():
    report = feasibility(p.FeasibilitySignal.REALISTIC)
    arms = tuple(p.ArmProgress(f"arm-{n}", p.ArmState.DONE, 1.0, (n + 1) / 100) for n in range(50))
    seen = view()
    points = {"curve_arm": np.arange(100_000, dtype=np.int32) % 50, "curve_rows": np.arange(100_000.0)}
    report = p.FeasibilityReport(
        **{name: getattr(report, name) for name in report.__dataclass_fields__}
        | points
        | {"arms": arms, "curve_error": np.full(100_000, 0.1), "best_transformation": "arm-9"}
    )
    seen.fold(event(report, 1.0))
    told = study.feasibility(seen, NOW)["study"]["curves"]
    assert [one["transformation"] for one in told[:3]] == ["arm-9", "arm-0", "arm-1"]
    assert [len(one["rows"]) for one in told] == [POINTS] * 6 + [0] * 44
