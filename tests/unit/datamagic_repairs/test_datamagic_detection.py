"""Injected errors are found, each with its row, column and kind; clean data raise few alarms."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from easeml.datamagic.cleaning.dependencies import find_dependencies, groups
from easeml.datamagic.cleaning.detection import detect_errors
from easeml.datamagic.cleaning.outliers import robust_z
from easeml.datamagic.cleaning.repairs import propose_repairs
from easeml.datamagic.cleaning.schema import Clash
from easeml.datamagic.cleaning.spelling import Speller, edits
from easeml.datamagic.cleaning.tails import false_share, tail_chances
from easeml.relation import Relation

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


def relation_of(frame, **options):
    return Relation.from_frame(frame, row_ids=[f"r{place}" for place in range(len(frame))], **options)


def test_injected_errors_are_found():
    from bench_repairs import detection, injected

    least = {
        "missing": (1, 1),
        "outlier": (0.85, 0.95),
        "dependency": (0.95, 0.95),
        "typo": (1, 1),
        "duplicate": (1, 1),
    }
    for kind, precision, recall in detection(*injected(rows=1000, seed=3)):
        assert precision >= least[kind][0], kind
        assert recall >= least[kind][1], kind


def test_clean_data_raise_few_alarms():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(2000, 5)), columns=list("abcde"))
    frame["price"] = np.exp(rng.normal(size=2000))
    frame["kind"] = rng.choice(["red", "green", "blue"], 2000)
    found = detect_errors(relation_of(frame), rng=rng)
    assert len(found) == 0


def test_the_table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=50), "b": rng.normal(size=50)})
    frame.loc[3, "a"], frame.loc[4, "b"] = np.nan, 100.0
    found = detect_errors(relation_of(frame), rng=rng, clashes=[Clash("r7", "a", "seven"), Clash("zz", "a", "x")])
    assert list(found.columns) == ["row_id", "column", "kind", "score", "detail"]
    assert found["score"].between(0.5, 1).all()
    assert found["score"].is_monotonic_decreasing
    cells = {
        (row, column): kind for row, column, kind in zip(found["row_id"], found["column"], found["kind"], strict=True)
    }
    assert cells["r3", "a"] == "missing"
    assert cells["r7", "a"] == "clash"
    assert cells["r4", "b"] == "outlier"
    assert "100 is" in found.set_index(["row_id", "column"])["detail"]["r4", "b"]
    everything = detect_errors(relation_of(frame), rng=rng, least_score=0)
    assert len(everything) > len(found)


def test_an_extreme_value_that_its_row_explains_is_no_error():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    x[0] = 30.0
    frame = pd.DataFrame({"x": x, "y": x + 0.1 * rng.normal(size=500), "z": -x + 0.1 * rng.normal(size=500)})
    found = detect_errors(relation_of(frame), rng=rng)
    assert not ((found["row_id"] == "r0") & (found["kind"] == "outlier")).any()
    isolated = detect_errors(relation_of(frame), rng=rng, least_score=0.1)
    isolated = isolated[isolated["kind"] == "outlier_row"]
    assert isolated["row_id"].iloc[0] == "r0"


def test_of_many_rows_the_one_far_out_in_what_its_columns_share_is_told():
    rng = np.random.default_rng(1)
    x = rng.normal(size=5000)
    x[0] = 30.0
    frame = pd.DataFrame({name: x + 0.1 * rng.normal(size=5000) for name in "xyz"})
    frame.loc[rng.permutation(4000)[:2400] + 1000, "almost empty"] = 1.5 * rng.normal(size=2400)
    found = detect_errors(relation_of(frame), rng=rng)
    assert found.loc[found["kind"] == "outlier_row", "row_id"].tolist() == ["r0"]


@pytest.mark.parametrize("wrong", [1, 2])
def test_wrong_cells_are_told_and_the_cells_they_spoil_are_not(wrong):
    rng = np.random.default_rng(wrong)
    numbers = rng.normal(size=(1000, 3)) @ rng.normal(size=(3, 8)) + 0.2 * rng.normal(size=(1000, 8))
    planted = set()
    for row in range(20):
        for column in rng.permutation(8)[:wrong].tolist():
            numbers[row, column] += 12.0 * rng.choice([-1, 1])
            planted.add((f"r{row}", f"c{column}"))
    found = outliers_of(pd.DataFrame(numbers).add_prefix("c"))
    told = set(zip(found["row_id"], found["column"], strict=True))
    assert len(told & planted) >= 0.95 * len(planted)
    assert len(told & planted) >= 0.95 * len(told)


def test_uncertain_cells_are_not_told_again():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0]})
    relation = relation_of(frame)
    known = pd.DataFrame({"row_id": ["r1"], "column": ["a"], "value": [2.0], "probability": [1.0]})
    rng = np.random.default_rng(0)
    assert len(detect_errors(relation, rng=rng)) == 1
    assert len(detect_errors(relation.merge_candidates(known, source="me"), rng=rng)) == 0


def test_duplicates_have_all_columns_and_the_label_alike():
    frame = pd.DataFrame({"a": [1.0, 1.0, 1.0, np.nan, np.nan], "t": ["x", "x", "y", "z", "z"], "y": list("nnnab")})
    found = detect_errors(relation_of(frame, label="y"), rng=np.random.default_rng(0))
    found = found[found["kind"] == "duplicate"]
    assert found["row_id"].tolist() == ["r1"]
    assert found["detail"].tolist() == ["same as row r0"]


def test_a_few_words_among_numbers_are_clashes():
    frame = pd.DataFrame({"a": pd.Categorical([*map(str, range(10))] * 5 + ["ten"])})
    found = detect_errors(relation_of(frame), rng=np.random.default_rng(0))
    assert found[found["kind"] == "clash"]["row_id"].tolist() == ["r50"]


def test_rare_words_score_low():
    frame = pd.DataFrame({"a": ["red"] * 60 + ["green"] * 60 + ["ultramarine"]})
    found = detect_errors(relation_of(frame), rng=np.random.default_rng(0), least_score=0.1)
    rare = found[found["kind"] == "rare"]
    assert rare["row_id"].tolist() == ["r120"]
    assert rare["score"].iloc[0] < 0.5


def test_nothing_is_nothing():
    empty = detect_errors(relation_of(pd.DataFrame({"a": [1.0]})), rng=np.random.default_rng(0))
    assert list(empty.columns) == ["row_id", "column", "kind", "score", "detail"]
    assert len(empty) == 0
    none = relation_of(pd.DataFrame({"a": [1.0]})).take(np.array([False]))
    assert len(detect_errors(none, rng=np.random.default_rng(0))) == 0


def test_robust_z():
    z = robust_z(np.array([1.0, 2.0, 3.0, np.nan, 1000.0]))
    assert np.isnan(z[3])
    assert z[4] > 3
    assert robust_z(np.array([5.0, 5.0, 5.0])).tolist() == [0, 0, 0]
    assert robust_z(np.array([5.0] * 9 + [6.0]))[-1] > 3


def test_chances_are_those_of_the_tails():
    rng = np.random.default_rng(0)
    numbers = np.column_stack([rng.normal(size=5000), rng.standard_t(3, size=5000), np.full(5000, 7.0)])
    numbers[0] = np.nan, 6.0, 7.0
    numbers[1:4, 0] = 1.0, 6.0, -60.0
    chance = tail_chances(numbers)
    assert np.isnan(chance[0, 0])
    assert chance[1, 0] == 1
    assert chance[3, 0] < 1e-8 < chance[2, 0] < 1e-4
    assert 1e-3 < chance[0, 1] < 0.1  # of a heavy tail, six is usual
    assert (chance[:, 2] == 1).all()
    assert (tail_chances(np.full((5, 1), np.nan)) != 1).all()


def test_false_share_by_hand():
    chance = np.array([[0.01, 0.5], [0.001, np.nan], [0.03, 0.9]])
    expected = [0.025, np.inf, 0.005, np.inf, 0.05, np.inf]
    assert false_share(chance, 5).ravel()[[0, 2, 4]].tolist() == pytest.approx([expected[0], expected[2], expected[4]])
    assert np.isinf(false_share(chance, 5)[1, 1])
    assert np.isinf(false_share(np.array([0.5, np.nan]), 10)).all()


@pytest.mark.parametrize("law", ["gaussian", "lognormal", "t3", "mixture", "counts", "zeros", "rounded", "words"])
def test_a_clean_table_of_any_law_raises_no_alarm(law):
    from bench_detection import alarms, clean_table

    assert sum(len(alarms(clean_table(law, rows, seed))) > 0 for rows, seed in ((200, 0), (200, 1), (2000, 2))) == 0


def test_planted_errors_of_real_tables_are_found():
    from bench_detection import planted_figures

    found = {(table, kind): (new, recall) for table, kind, _, new, recall, _ in planted_figures(1)}
    least = {("iris", "unit"): 0.95, ("wine", "unit"): 0.95, ("breast_cancer", "unit"): 0.85, ("iris", "sign"): 0.8}
    for key, recall in least.items():
        assert found[key][0] >= 0.8, key
        assert found[key][1] >= recall, key


def test_dependencies():
    rng = np.random.default_rng(0)
    zips = rng.integers(50, size=1000)
    city = zips // 5
    city[:20] = rng.integers(10, size=20)
    noise = rng.integers(2, size=1000)
    ids = np.arange(1000)
    found = find_dependencies([zips, city, noise, ids, np.full(1000, 3)], rng=rng)
    assert [(item.determinant, item.dependent) for item in found] == [(0, 1)]
    assert found[0].confidence == pytest.approx(0.982, abs=0.01)
    own, confidence, cover = groups(zips, city)
    assert own.value.tolist() == [zip_code // 5 for zip_code in range(50)]
    assert cover == 1
    assert find_dependencies([], rng=rng) == []
    none, confidence, cover = groups(np.full(3, -1), np.zeros(3, np.int64))
    assert (len(none.value), confidence, cover) == (0, 0, 0)


def test_small_groups_agree_by_luck_and_are_no_dependency():
    rng = np.random.default_rng(0)
    rare = (rng.random(900) < 0.03).astype(np.int64)
    assert find_dependencies([np.repeat(np.arange(300), 3), rare], rng=rng) == []


def test_columns_that_mostly_agree_are_no_dependency():
    rng = np.random.default_rng(0)
    truth = rng.choice(["happy", "sad", "angry", "others"], 4000, p=[0.05, 0.05, 0.05, 0.85])
    commits = {f"commit_{place}": np.where(rng.random(4000) < 0.02, "others", truth) for place in range(4)}
    found = detect_errors(relation_of(pd.DataFrame(commits)), rng=rng)
    assert "dependency" not in set(found["kind"])


def test_measured_quantities_imply_nothing():
    rng = np.random.default_rng(0)
    certain = rng.random(1000) < 0.7
    frame = pd.DataFrame({"mass": np.where(certain, 1.0, rng.random(1000).round(2)), "certain": certain.astype(str)})
    frame.loc[np.flatnonzero(certain)[:5], "certain"] = "False"
    assert "dependency" not in set(detect_errors(relation_of(frame), rng=rng)["kind"])


def test_words_spelt_in_two_ways_are_told_with_the_usual_one():
    towns = ["Zürich"] * 30 + ["Bern"] * 30 + ["Zurich", "ZÜRICH", "zürich ", "Zu\u0308rich", "Berne"]
    found = detect_errors(relation_of(pd.DataFrame({"town": pd.Categorical(towns)})), rng=np.random.default_rng(0))
    told = found.set_index("row_id")
    assert told.loc[["r60", "r61", "r62", "r63"], "kind"].tolist() == ["spelling"] * 4
    assert told.loc["r60", "detail"] == "'Zurich' is probably 'Zürich'"
    assert told.loc["r64", "kind"] == "typo"
    repaired = propose_repairs(
        relation_of(pd.DataFrame({"town": pd.Categorical(towns)})), errors=found, rng=np.random.default_rng(0)
    )
    assert repaired.most_probable_world().frame()["town"].iloc[60:64].tolist() == ["Zürich"] * 4


@pytest.mark.parametrize(
    "words",
    [("A+", "A-", "A"), ("<=50K", ">50K"), ("C", "C#", "C++"), ("1.5", "15"), ("grade A", "grade B"), ("1-2", "12")],
)
def test_signs_that_tell_words_apart_count(words):
    speller = Speller(words, np.array([1000, 10, 1][: len(words)]))
    assert [speller.correct(word) for word in words] == [None] * len(words)


def test_one_slip_time_and_again_is_a_word_of_its_own():
    words = ["Slovakia", "Slovenia", "Slovakla"]
    speller = Speller(words, np.array([500, 40, 2]))
    assert speller.correct("Slovenia") is None
    assert speller.correct("Slovakla").right == "Slovakia"


def test_spelling():
    words = ["Berlin", "Hamburg", "Berln", "berlin", "Hmabrug", "A12", "A13", "Ulm", "Ulb", "Mecklenburg", "Meklenbrug"]
    speller = Speller(words, np.array([500, 300, 2, 3, 1, 90, 1, 80, 1, 50, 1]))
    assert speller.correct("Berln").right == "Berlin"
    assert speller.correct("berlin").distance == 0
    assert speller.correct("Hmabrug") is None or speller.correct("Hmabrug").right == "Hamburg"
    assert speller.correct("A13") is None
    assert speller.correct("Ulb") is None
    assert speller.correct("Meklenbrug").right == "Mecklenburg"
    assert speller.correct("Berlin") is None
    assert speller.correct("") is None
    assert edits("abc", "abc", 1) == 0
    assert edits("abcd", "dcba", 2) == 3


def test_ten_thousand_words_are_no_trouble():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), 9)) for _ in range(10_000)]
    words = list(dict.fromkeys(words))
    speller = Speller(words, np.full(len(words), 20))
    wrong = words[7][:3] + words[7][4:]
    assert speller.correct(wrong).right in words


def outliers_of(frame, **options):
    found = detect_errors(relation_of(frame, **options), rng=np.random.default_rng(0))
    return found[found["kind"] == "outlier"]


@pytest.mark.parametrize("known", [5, 15, 40])
def test_an_almost_empty_column_says_nothing_about_the_others(known):
    rng = np.random.default_rng(known)
    frame = pd.DataFrame({"temperature": rng.normal(20, 3, 400).round(2), "when": rng.normal(size=400)})
    frame["site"], frame["label"] = rng.choice(["north", "south", "east"], 400), rng.choice(["yes", "no"], 400)
    frame.loc[rng.permutation(400)[known:], "when"] = np.nan
    assert len(outliers_of(frame)) <= 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_gaps_filled_from_a_cell_do_not_explain_that_cell(share):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(400, 5)), columns=list("abcde"))
    frame = frame.mask(rng.random(frame.shape) < share * np.array([0, 1, 1, 1, 1]))
    frame["site"] = rng.choice(["north", "south", "east"], 400)
    assert len(outliers_of(frame)) <= 2


def test_numbers_that_are_hardly_skewed_are_not_put_on_a_logarithmic_scale():
    alarms = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        alarms += len(outliers_of(pd.DataFrame({"a": rng.normal(20, 3, 400), "kind": rng.choice(["x", "y"], 400)})))
    assert alarms <= 1


def test_more_columns_than_rows_explain_nothing():
    rng = np.random.default_rng(2)
    assert len(outliers_of(pd.DataFrame(rng.normal(size=(60, 80))).add_prefix("c"))) <= 2


def test_columns_of_few_values_are_not_judged_by_deviations():
    rng = np.random.default_rng(3)
    truth = rng.random(1000) < 0.12
    frame = pd.DataFrame({"truth": truth.astype(float), "vote": (truth ^ (rng.random(1000) < 0.02)).astype(float)})
    frame["size"] = rng.normal(size=1000)
    assert len(outliers_of(frame)) <= 1


def test_a_value_that_occurs_often_is_no_outlier():
    rng = np.random.default_rng(4)
    worker = rng.integers(5000, 5100, 3000).astype(float)
    worker[:100], worker[100] = 0, -7.0
    found = outliers_of(pd.DataFrame({"item": rng.normal(size=3000), "worker": worker}))
    found = found[found["column"] == "worker"]
    assert found["row_id"].tolist() == ["r100"]


def test_doubles_that_chance_explains_are_no_duplicates():
    rng = np.random.default_rng(5)
    few = pd.DataFrame({name: rng.integers(4, size=500) for name in "ab"}, dtype=float)
    copies = pd.DataFrame({f"commit_{place}": few["a"] for place in range(8)})
    numbers = pd.DataFrame({"a": rng.normal(20, 3, 500).round(2)})
    for frame in (few, copies, numbers, few[["a"]]):
        found = detect_errors(relation_of(frame), rng=np.random.default_rng(0))
        assert "duplicate" not in set(found["kind"])


def test_a_table_pasted_twice_is_all_duplicates():
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"a": rng.normal(size=100), "kind": rng.choice(["red", "blue"], 100)})
    found = detect_errors(relation_of(pd.concat([frame, frame], ignore_index=True)), rng=rng)
    assert (found["kind"] == "duplicate").sum() == 100
