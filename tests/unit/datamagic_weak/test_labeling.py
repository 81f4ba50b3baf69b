"""Labelling functions: what they see, how they fail, what they cover, and how votes become candidates."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from easeml.datamagic.supervision.dawid_skene import DawidSkene
from easeml.datamagic.supervision.label_model import LabelModel
from easeml.datamagic.supervision.label_studio import import_label_studio, merge_label_studio, read_label_studio
from easeml.datamagic.supervision.labeling import (
    analysis,
    apply_labeling_functions,
    labeling_function,
    votes_to_relation,
)
from easeml.datamagic.supervision.votes import Votes
from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation import Relation


@pytest.fixture
def relation():
    frame = pd.DataFrame(
        {
            "text": ["see http://a.b", "nice song", None, "subscribe http://c", "hello there"],
            "likes": [1.0, 30.0, np.nan, 2.0, 5.0],
            "paid": pd.array([True, False, None, True, False], dtype="boolean"),
            "kind": pd.Categorical(["a", "b", None, "a", "b"]),
            "since": pd.to_datetime(["2024-01-01", None, "2024-01-03", "2024-01-04", "2024-01-05"]),
            "label": ["spam", None, None, None, "ham"],
        },
        index=[f"r{i}" for i in range(5)],
    )
    return Relation.from_frame(frame, label="label", classes=("ham", "spam"))


pytestmark = pytest.mark.filterwarnings("ignore:Labelling function")


@labeling_function
def has_link(row):
    return "spam" if "http" in row.text else None


@labeling_function(name="popular", version=3)
def liked(row):
    return 0 if row["likes"] > 10 else -1


@labeling_function(whole=True)
def paying(frame):
    return np.where(frame["paid"].fillna(False), 1, -1)


def test_functions_vote_and_their_failures_are_reported(relation):
    steps = []
    with pytest.warns(UserWarning, match="'has_link' failed on 1 of 5 rows.*first on row 'r2': TypeError") as told:
        result = apply_labeling_functions(
            relation, [has_link, liked, paying], progress=lambda done, total, what: steps.append((done, total, what))
        )
    assert len(told) == 1
    assert repr(result) == "<Labeling: 5 rows, 60% covered by 3 functions, 1 of them with errors>"
    assert result.votes.dtype == np.int8
    assert result.votes.tolist() == [[1, -1, 1], [-1, 0, -1], [-1, -1, -1], [1, -1, 1], [-1, -1, -1]]
    assert result.errors.loc["has_link"].tolist() == [1, "r2", "TypeError: argument of type 'NoneType' is not iterable"]
    assert result.errors["errors"].tolist() == [1, 0, 0]
    assert steps == [(1, 3, "has_link"), (2, 3, "popular"), (3, 3, "paying")]
    assert np.asarray(result).tolist() == result.votes.tolist()
    assert (result.shape, len(result), result[0].tolist()) == ((5, 3), 5, [1, -1, 1])
    with pytest.raises(InvalidDataError, match=r"'has_link', row 'r2': TypeError"):
        apply_labeling_functions(relation, [has_link], on_error="raise")


def test_functions_see_every_kind_of_cell_but_not_the_label(relation):
    seen = []

    @labeling_function
    def look(row):
        seen.append(dict(row))

    apply_labeling_functions(relation, [look])
    assert list(seen[0]) == ["text", "likes", "paid", "kind", "since"]
    assert seen[2]["text"] is seen[2]["paid"] is seen[2]["kind"] is seen[1]["since"] is None
    assert np.isnan(seen[2]["likes"])
    assert (seen[0]["paid"], seen[0]["kind"], seen[0]["since"].year) == (True, "a", 2024)

    @labeling_function
    def cheat(row):
        return row.label

    report = apply_labeling_functions(relation, [cheat]).errors.loc["cheat"]
    assert report["errors"] == 5
    assert "no column 'label'; columns are text, likes" in report["message"]


@pytest.mark.parametrize("answer", ["eggs", 2, -2, 0.5, True, object(), float("inf"), [1]])
def test_an_answer_that_is_no_class_is_an_error_of_the_function(relation, answer):
    result = apply_labeling_functions(relation, [labeling_function(name="odd")(lambda row: answer)])
    assert (result.votes == -1).all()
    assert result.errors.loc["odd", "errors"] == 5
    assert result.errors.loc["odd", "message"].startswith(("ValueError", "TypeError", "OverflowError"))


@pytest.mark.parametrize("answer", [None, -1, float("nan"), pd.NA, np.float64(-1)])
def test_abstentions(relation, answer):
    result = apply_labeling_functions(relation, [labeling_function(name="shy")(lambda row: answer)])
    assert (result.votes == -1).all()
    assert result.errors["errors"].sum() == 0


def test_functions_on_the_whole_frame_fail_as_a_whole(relation):
    short = labeling_function(name="short", whole=True)(lambda frame: [0])
    broken = labeling_function(name="broken", whole=True)(lambda frame: frame["nothing"])
    report = apply_labeling_functions(relation, [short, broken]).errors
    assert report["errors"].tolist() == [5, 5]
    assert (report["row_id"] == "").all()
    assert report["message"].tolist() == ["1 votes for 5 rows", "KeyError: 'nothing'"]
    with pytest.raises(InvalidDataError, match="the whole frame: 1 votes"):
        apply_labeling_functions(relation, [short], on_error="raise")


def test_wrong_relations_and_names_are_refused(relation):
    with pytest.raises(InvalidDataError, match="Two labelling functions are named 'has_link'"):
        apply_labeling_functions(relation, [has_link, has_link])
    with pytest.raises(InvalidDataError, match="0 classes"):
        apply_labeling_functions(Relation.from_frame(pd.DataFrame({"a": [1.0]})), [has_link])


def test_analysis_names_functions_and_classes(relation):
    table = analysis(apply_labeling_functions(relation, [has_link, liked, paying]), relation.labels)
    assert table.loc["has_link"].tolist() == [("spam",), 0.4, 0.4, 0.0, 1, 0, 1.0]
    assert table.loc["popular", "polarity"] == ("ham",)
    assert np.isnan(table.loc["popular", "accuracy"])
    with pytest.raises(InvalidDataError, match="3 labels for 5 rows"):
        analysis(np.full((5, 1), -1), [0, 1, 1])
    with pytest.raises(InvalidDataError, match="1 dimensions"):
        analysis([1, 0])


@given(st.data())
def test_analysis_is_what_counting_gives(data):
    n, m = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 4))
    votes = data.draw(hnp.arrays(np.int8, (n, m), elements=st.integers(-1, 2)))
    labels = data.draw(hnp.arrays(np.int8, (n,), elements=st.integers(-1, 2)))
    table = analysis(votes, labels)
    for j in range(m):
        others = [[v for i, v in enumerate(row) if i != j and v >= 0] for row in votes]
        mine = [row[j] for row in votes]
        share = lambda hits: sum(hits) / max(n, 1)  # noqa: E731
        assert table["coverage"][j] == share(v >= 0 for v in mine)
        assert table["overlap"][j] == share(v >= 0 and len(o) > 0 for v, o in zip(mine, others, strict=True))
        assert table["conflict"][j] == share(
            v >= 0 and any(u != v for u in o) for v, o in zip(mine, others, strict=True)
        )
        assert table["correct"][j] == sum(v == y >= 0 for v, y in zip(mine, labels, strict=True))
        assert table["incorrect"][j] == sum(v >= 0 and y >= 0 and v != y for v, y in zip(mine, labels, strict=True))


def test_votes_become_candidates_of_unknown_labels_only(relation):
    votes = apply_labeling_functions(relation, [has_link, liked, paying])
    model = LabelModel(2, class_balance=[0.5, 0.5]).fit(votes)
    merged = votes_to_relation(relation, model.predict_proba(votes), model)
    table = merged.candidates()
    assert set(table["row_id"]) == {"r1", "r2", "r3"}
    assert set(table["source"]) == {"datamagic.label_model/1"}
    assert table.groupby("row_id")["probability"].sum().round(9).eq(1).all()
    assert merged.labels.tolist() == relation.labels.tolist()
    assert merged.entropy().total < relation.entropy().total
    assert merged.most_probable_world().labels.tolist()[3] == 1
    again = votes_to_relation(merged, model.predict_proba(votes), model)
    assert again.content_hash() == merged.content_hash()


def test_rows_of_nan_say_nothing_and_wrong_rows_are_named(relation):
    proba = np.full((5, 2), np.nan)
    assert len(votes_to_relation(relation, proba, "mine/1").candidates()) == 0
    proba[3] = [0.3, 0.6]
    with pytest.raises(InvalidDataError, match=r"Row 'r3': \[0.3, 0.6\] is no distribution"):
        votes_to_relation(relation, proba, "mine/1")
    with pytest.raises(InvalidDataError, match=r"shape \(4, 2\) for 5 rows"):
        votes_to_relation(relation, proba[:4], "mine/1")


def annotation(who, *choices, tag="kind", **more):
    value = {"choices": list(choices)}
    result = [{"from_name": tag, "to_name": "text", "type": "choices", "value": value}] if choices else []
    return {"completed_by": who, "result": result, "was_cancelled": False} | more


FULL = [
    {"id": 1, "data": {"row_id": "r1"}, "annotations": [annotation(7, "spam"), annotation({"email": "a@b"}, "ham")]},
    {"id": 2, "data": {"row_id": "r2"}, "annotations": [annotation(7, was_cancelled=True), annotation(8)]},
    {
        "id": 3,
        "data": {"row_id": "r3"},
        "annotations": [annotation(7, "ham"), annotation(7, "spam", "ham")],
        "predictions": [{"model_version": "bert-1", "score": 0.8, "result": annotation(0, "spam")["result"]}],
    },
]


def test_full_export_of_several_annotators_predictions_and_skipped_tasks(relation):
    export = read_label_studio(json.dumps(FULL), classes=("ham", "spam"))
    lines = set(export.candidates.drop(columns="column").itertuples(index=False, name=None))
    assert lines == {
        ("r1", "spam", 1.0, "label-studio/annotator-7"),
        ("r1", "ham", 1.0, "label-studio/annotator-a@b"),
        ("r3", "spam", 0.5, "label-studio/annotator-7"),
        ("r3", "ham", 0.5, "label-studio/annotator-7"),
        ("r3", "spam", 0.8, "label-studio/prediction-bert-1"),
        ("r3", "ham", 1 - 0.8, "label-studio/prediction-bert-1"),
    }
    assert export.skipped == ("r2",)
    merged = merge_label_studio(relation, export.candidates).candidates()
    spam = merged[(merged["row_id"] == "r3") & (merged["value"] == "spam")]["probability"].sum()
    assert spam == pytest.approx((0.5 + 0.8) / 2)
    votes, items, _ = Votes.from_frame(export.votes, ("ham", "spam"), relation.row_ids)
    assert DawidSkene(2).fit(votes).predict_proba(votes).shape == (len(items), 2)


def test_min_export():
    rest = {"annotator": 3, "annotation_id": 1, "created_at": "2024-01-01T00:00:00Z", "lead_time": 2.0}
    tasks = [
        {"text": "a", "label": "noise", "id": 1, "kind": "spam", **rest},
        {"text": "b", "label": "noise", "id": 2, "kind": {"choices": ["spam", "ham"]}, **rest},
        {"text": "c", "label": "noise", "id": 3, **rest},
    ]
    export = read_label_studio(json.dumps(tasks).encode())
    assert export.candidates[["row_id", "value", "probability"]].to_numpy().tolist() == [
        ["1", "spam", 1.0],
        ["2", "spam", 0.5],
        ["2", "ham", 0.5],
    ]
    assert export.skipped == ("3",)
    two = [{"id": 1, "kind": "spam", "mood": "glad", **rest}]
    with pytest.raises(InvalidDataError, match="Task 1: answers to kind, mood"):
        read_label_studio(two)
    assert import_label_studio(two, question="mood", column="m")["value"].tolist() == ["glad"]


def test_old_exports_ids_and_lone_predictions():
    old = [{"id": 4, "data": {"key": "k"}, "completions": [annotation(1, "ham")]}]
    assert import_label_studio(old)["row_id"].tolist() == ["4"]
    assert import_label_studio(old, id_field="key")["row_id"].tolist() == ["k"]
    lone = [{"id": 4, "data": {}, "predictions": [{"score": 0.3, "result": annotation(0, "ham")["result"]}]}]
    export = read_label_studio(lone)
    assert export.candidates["probability"].tolist() == [1.0]
    assert export.skipped == ()


@pytest.mark.parametrize(
    ("export", "text"),
    [
        ("[{]", "line 1, column 3"),
        (b"[\xff]", "UTF-8"),
        ({"id": 1}, "not a list of tasks"),
        ([3], "Task at place 0: a int"),
        ([{"data": {}, "annotations": []}], "Task at place 0: no id"),
        ([FULL[0], {"id": 9, "data": {}, "annotations": []}], "Task 9: no row id in field 'row_id'"),
        ([{"id": 1, "text": "raw"}], "Task 1: no annotations"),
        ([{"id": 1, "annotations": [12]}], "Task 1: 'annotations' is no list of objects"),
        ([{"id": 1, "annotations": [annotation(1, "eggs")]}], "Task 1: 'eggs' is not one of ham, spam"),
        ([{"id": 1, "annotations": [annotation(1, 5)]}], r"Task 1: the choices are \[5\]"),
        ([{"id": 1, "annotations": [{"result": {}}]}], "Task 1: the result is a dict"),
        ([{"id": 1, "annotations": [{"result": [{"type": "rectanglelabels", "value": {}}]}]}], "rectanglelabels"),
        ([{"id": 1, "annotations": [{"result": [4]}]}], "Task 1: a result without a value"),
        (
            [
                {
                    "id": 1,
                    "annotations": [
                        {"result": annotation(1, "ham")["result"] + annotation(1, "ham", tag="b")["result"]}
                    ],
                }
            ],
            "Task 1: answers to b, kind",
        ),
        (
            [{"id": 1, "predictions": [{"score": 80, "result": annotation(1, "ham")["result"]}]}],
            "Task 1: a prediction score",
        ),
        ([{"id": 1, "predictions": [{"result": annotation(1, "ham", "spam")["result"]}]}], "Task 1: a prediction of 2"),
        ([{"row": "a", "kind": "ham", "annotator": 1}], "Task at place 0: no id"),
    ],
)
def test_wrong_exports_name_the_task(export, text):
    with pytest.raises(InvalidDataError, match=text):
        read_label_studio(export, classes=("ham", "spam"))


def test_candidates_of_unknown_rows_are_refused(relation):
    table = import_label_studio([{"id": 77, "annotations": [annotation(1, "ham")]}])
    with pytest.raises(NotFoundError, match="77"):
        merge_label_studio(relation, table)
