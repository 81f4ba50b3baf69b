"""Columns are told apart by what nine tenths of their values are; the rest is reported, never lost in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from easeml.datamagic.cleaning.missing import is_missing, sentinels
from easeml.datamagic.cleaning.schema import Clash, Kind, infer_schema
from easeml.errors import InvalidDataError
from easeml.relation import Relation


def kind(values, name="c", **options):
    return infer_schema(pd.DataFrame({"other": [1.5] * len(values), name: pd.Series(values, dtype=object)}), **options)[
        name
    ].kind


def read(values, name="c", **options):
    frame = pd.DataFrame({name: pd.Series(values, dtype=object)})
    schema = infer_schema(frame, **options)
    return schema, schema.apply(frame)[name]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["1", "2.5", "-3e4"], Kind.NUMERIC),
        ([1, 2.5, None], Kind.NUMERIC),
        (["Yes", "no", "YES"], Kind.BOOLEAN),
        (["t", "f", "f"], Kind.BOOLEAN),
        (["f", "f", "f"], Kind.CATEGORICAL),
        (["yes", "no", "maybe"] * 2, Kind.CATEGORICAL),
        (["0", "1", "1"], Kind.NUMERIC),
        ([True, False, None], Kind.BOOLEAN),
        (["a", "b"] * 3, Kind.CATEGORICAL),
        (["one text", "and another", "and more"], Kind.TEXT),
        (["01067", "80331", "20095", "01067"] * 2, Kind.CATEGORICAL),
        (["2024-01-31", "2024-02-01T10:00:00+02:00"], Kind.DATETIME),
        ([pd.Timestamp("2024-01-31"), "2024-02-01"], Kind.DATETIME),
        ([np.zeros(2), np.ones(2), None], Kind.TENSOR),
        ([[1, 2], [3, 4]], Kind.TENSOR),
        ([f"C-{place:05d}" for place in range(30)], Kind.ID),
        ([None, "", "N/A", "-", "?"], Kind.NUMERIC),
    ],
)
def test_kinds(values, wanted):
    assert kind(values) is wanted


def test_zero_and_one_are_boolean_only_when_declared():
    schema, cells = read(["0", "1", "2", "1"], kinds={"c": "boolean"})
    assert schema["c"].kind is Kind.BOOLEAN
    assert cells.tolist()[:2] == [False, True]
    assert cells.isna().tolist() == [False, False, True, False]
    assert schema.clashes == (Clash(2, "c", "2"),)


def test_ten_thousand_categories_are_text():
    values = [f"product {place % 10_000}" for place in range(30_000)]
    schema, cells = read(values)
    assert schema["c"].kind is Kind.TEXT
    assert schema["c"].distinct == 10_000
    assert cells.tolist() == values


def test_an_empty_column_stays_as_numbers_and_is_reported():
    frame = pd.DataFrame({"a": ["", "NA", None], "b": ["1", "2", "3"], "c": [None] * 3})
    schema = infer_schema(frame)
    assert schema.empty == ("a", "c")
    assert schema["a"].tokens == ("", "NA")
    assert schema.apply(frame).dtypes.tolist() == [np.float64] * 3
    assert Relation.from_frame(schema.apply(frame), columns=schema.features).columns == schema.features


def test_missing_tokens_go_and_doubtful_words_only_among_numbers():
    schema, cells = read(["1", "NA", "N/A", "null", "-", "?", " ", "none", "2"])
    assert schema["c"].tokens == (" ", "-", "?", "N/A", "NA", "none", "null")
    assert schema["c"].missing == pytest.approx(7 / 9)
    assert cells.dropna().tolist() == [1.0, 2.0]
    assert not schema.clashes
    garage, cells = read(["none", "attached", "NA", "none", "attached"])
    assert garage["c"].categories == ("attached", "none")
    assert cells.isna().sum() == 1


def test_sentinels_are_reported_and_kept():
    values = [*map(str, range(20, 60)), "999", "999"]
    schema, cells = read(values)
    assert schema["c"].sentinels == (999.0,)
    assert cells.max() == 999
    assert sentinels(np.array([3.0, 4, 5, -1, -1])) == (-1.0,)
    assert sentinels(np.array([90.0, 95, 99, 99, 100])) == ()
    assert sentinels(np.array([-3.0, -2, -1, -1, 5])) == ()
    assert is_missing(["None", "#N/A"], weak=True).tolist() == [True, True]


def test_the_majority_of_mixed_types_wins_and_clashes_have_row_and_column():
    values = [*map(str, range(19)), "twelve"]
    frame = pd.DataFrame({"c": values}, index=pd.RangeIndex(2, 22, name="line"))
    schema = infer_schema(frame, kinds={"c": "numeric"})
    assert schema.clashes == (Clash(21, "c", "twelve"),)
    assert infer_schema(frame).clashes == schema.clashes
    assert np.isnan(schema.apply(frame)["c"].iloc[-1])
    assert kind(["1", "2", "three", "four"]) is Kind.TEXT
    assert kind(["1", "x1", "1", "x1"]) is Kind.CATEGORICAL


def test_typed_cells_of_a_spreadsheet_may_be_mixed():
    schema, cells = read([*range(2, 12), True])
    assert schema["c"].kind is Kind.NUMERIC
    assert schema.clashes == (Clash(10, "c", True),)
    assert cells.isna().sum() == 1
    schema, _ = read([*map(float, range(12)), float("inf")])
    assert [clash.row for clash in schema.clashes] == [12]
    frame = pd.DataFrame({"c": [1.0, np.inf]})
    cells, clashes = infer_schema(frame).clean(frame)
    assert cells["c"].isna().tolist() == [False, True]
    assert clashes == (Clash(1, "c", np.inf),)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["1,234", "12,345,678", "999"], [1234, 12345678, 999]),
        (["1,234.5", "7.25"], [1234.5, 7.25]),
        (["1.234,5", "7,25", "1.234"], [1234.5, 7.25, 1234]),
        (["1 234,5", "7,25"], [1234.5, 7.25]),
        (["1'234.50", "2'000'000"], [1234.5, 2000000]),
        (["12 %", "7.5%", "-3%"], [0.12, 0.075, -0.03]),
        (["$1,200", "-$5", "($7.50)", "$ 3"], [1200, -5, -7.5, 3]),
        (["1.200,50 €", "3 €"], [1200.5, 3]),
        (["CHF 12", "CHF 1'000"], [12, 1000]),
        (["0,5", "0,75"], [0.5, 0.75]),
        (["−5", "3"], [-5, 3]),
        (["1.5e3", "2E-1"], [1500, 0.2]),
    ],
)
def test_written_numbers(values, numbers):
    schema, cells = read(values)
    assert schema["c"].kind is Kind.NUMERIC
    assert cells.tolist() == pytest.approx(numbers)


def test_percent_and_currency_need_the_whole_column():
    assert kind(["5%", "7", "9%", "11"]) is Kind.TEXT
    assert kind(["5 €", "7 $", "9 €", "11 $"]) is Kind.TEXT
    schema, cells = read([*(f"{place}%" for place in range(19)), "20"])
    assert schema.clashes == (Clash(19, "c", "20"),)
    assert cells.iloc[1] == 0.01
    schema, _ = read([*(f"{place} €" for place in range(19)), "20 $"])
    assert schema.clashes == (Clash(19, "c", "20 $"),)


@pytest.mark.parametrize(
    "text", ["1.2.3.4", "12,34,56", "1,2345", "$", "5%%", "1e", "--5", "(5", "0x10", "1_000", "٣", "5 apples", "+-5"]
)
def test_what_is_no_number_stays_a_word(text):
    schema, _ = read([*(f"{place}.5" for place in range(20)), text])
    assert [clash.value for clash in schema.clashes] == [text]


def days(cells):
    return cells.dt.strftime("%Y-%m-%d").tolist()


def test_three_formats_of_dates_in_one_column():
    schema, cells = read(
        ["2024-12-31", "31/12/2024", "05/02/2025", "Mar 3, 2025", "4 April 2025", "1.2.25", "20250301"], "date"
    )
    assert schema["date"].kind is Kind.DATETIME
    assert days(cells) == [
        "2024-12-31",
        "2024-12-31",
        "2025-02-05",
        "2025-03-03",
        "2025-04-04",
        "2025-02-01",
        "2025-03-01",
    ]
    assert str(cells.dtype) == "datetime64[us, UTC]"


def test_unambiguous_values_decide_day_and_month():
    assert days(read(["02/13/2024", "03/04/2024"])[1]) == ["2024-02-13", "2024-03-04"]
    assert days(read(["13/02/2024", "03/04/2024"])[1]) == ["2024-02-13", "2024-04-03"]
    assert days(read(["13/02/99", "03/04/24"])[1]) == ["1999-02-13", "2024-04-03"]
    assert days(read(["03.04.2024", "04.04.2024"])[1]) == ["2024-04-03", "2024-04-04"]
    assert days(read(["03/04/2024", "01/05/2024"], day_first=False)[1]) == ["2024-03-04", "2024-01-05"]
    assert days(read(["3/3/2024", "4/4/2024"])[1]) == ["2024-03-03", "2024-04-04"]


def test_a_day_nobody_can_tell_from_a_month_is_an_error_or_a_clash():
    with pytest.raises(InvalidDataError, match=r"'c', row 0 \(of the frame\): '03/04/2024' may be day first or month"):
        read(["03/04/2024", "01/05/2024"])
    with pytest.raises(InvalidDataError, match="day_first"):
        read(["13/04/2024", "04/13/2024", "01/05/2024", "01/06/2024"])
    values = [*(f"2024-01-{day:02d}" for day in range(1, 20)), "03/04/2024"]
    schema, cells = read(values)
    assert schema.clashes == (Clash(19, "c", "03/04/2024"),)
    assert cells.isna().sum() == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-02-03 04:05:06.789", "2024-02-03T04:05:06.789000"),
        ("2024-02-03T04:05:06+02:00", "2024-02-03T02:05:06.000000"),
        ("2024-02-03T04:05:06Z", "2024-02-03T04:05:06.000000"),
        ("13/02/2024 4:05 PM", "2024-02-13T16:05:00.000000"),
        ("13/02/2024 12:05 am -0130", "2024-02-13T01:35:00.000000"),
        ("2024/2/3", "2024-02-03T00:00:00.000000"),
        ("3rd March 2024, 10:00", "2024-03-03T10:00:00.000000"),
    ],
)
def test_moments(text, wanted):
    _, cells = read([text])
    assert cells.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").tolist() == [wanted]


@pytest.mark.parametrize(
    "text", ["2024-02-30", "32/01/2024", "13/13/2024", "13/02/2024 25:00", "Foo 3, 2024", "1/2/345"]
)
def test_days_that_do_not_exist_are_clashes(text):
    schema, _ = read([*(f"2024-01-{day:02d}" for day in range(1, 20)), text])
    assert [clash.value for clash in schema.clashes] == [text]


def test_ids_are_left_out_and_proposed():
    frame = pd.DataFrame(
        {
            "customer_id": range(500, 530),
            "age": range(30),
            "code": [f"A{place:03d}" for place in range(30)],
            "n": [1.0] * 30,
        }
    )
    schema = infer_schema(frame)
    assert [column.kind for column in schema.columns] == [Kind.ID, Kind.NUMERIC, Kind.ID, Kind.NUMERIC]
    assert schema.row_id == "customer_id"
    assert schema.row_ids(frame)[:2] == ("500", "501")
    assert schema.row_ids(pd.concat([frame, frame])) is None
    assert list(schema.apply(frame).columns) == ["age", "n"]
    words = infer_schema(frame.astype(str))
    assert [column.kind for column in words.columns] == [column.kind for column in schema.columns]
    counted = pd.DataFrame(
        {"Unnamed: 0": [str(place) for place in range(25)], "x": [str(place) for place in range(25)]}
    )
    assert infer_schema(counted).row_id == "Unnamed: 0"
    assert infer_schema(frame[["age"]].sample(frac=1, random_state=0)).row_id is None
    assert infer_schema(frame, label="customer_id").row_id == "code"


def test_large_integers_are_never_rounded():
    frame = pd.DataFrame({"a": [2**60 + 1, 2**60 + 2] * 3})
    schema = infer_schema(frame)
    assert schema["a"].kind is Kind.CATEGORICAL
    assert schema.apply(frame)["a"].tolist()[:2] == [str(2**60 + 1), str(2**60 + 2)]
    assert infer_schema(frame.astype(str))["a"].kind is Kind.CATEGORICAL


def test_the_suspected_target():
    data = {"a": [1.5, 2.5, 3.5, 4.5], "Class": ["x", "y", "x", "y"], "plan": ["p", "q", "p", "q"]}
    frame = pd.DataFrame(data)
    assert infer_schema(frame).target == "Class"
    assert infer_schema(frame.drop(columns="Class")).target == "plan"
    assert infer_schema(frame[["a"]]).target is None
    assert infer_schema(frame, label="plan").target is None


def test_labels_keep_their_words():
    frame = pd.DataFrame({"a": range(4), "y": ["01", "2", "NA", "none"]})
    schema = infer_schema(frame, label="y")
    assert schema.apply(frame)["y"].tolist()[:2] == ["01", "2"]
    assert schema["y"].categories == ("01", "2", "none")
    relation = Relation.from_frame(schema.apply(frame), label="y", columns=schema.features)
    assert relation.classes == ("01", "2", "none")
    assert relation.labels.tolist() == [0, 1, -1, 2]
    zero = pd.DataFrame({"a": range(4), "y": ["0", "1", "", "1"]})
    assert Relation.from_frame(infer_schema(zero, label="y").apply(zero), label="y").classes == ("0", "1")
    assert list(schema.apply(frame[["a"]]).columns) == ["a"]


def test_later_frames_are_read_by_the_same_decision():
    first = pd.DataFrame({"amount": ["1.234,5", "2,5"], "when": ["13/02/2024", "03/04/2024"], "c": ["a", "b"]})
    first = pd.concat([first] * 3, ignore_index=True)
    schema = infer_schema(first)
    later = pd.DataFrame({"amount": ["1.234", "x"], "when": ["05/06/2024", "soon"], "c": ["c", "a"]}, index=[100, 101])
    cells, clashes = schema.clean(later)
    assert cells["amount"].tolist()[0] == 1234
    assert days(cells["when"])[0] == "2024-06-05"
    assert cells["c"].tolist() == ["c", "a"]
    assert clashes == (Clash(101, "when", "soon"),)
    again, none = infer_schema(cells).clean(cells)
    pd.testing.assert_frame_equal(again, cells, check_dtype=False)
    assert none == ()
    ordered = pd.DataFrame({"size": pd.Categorical(["S", "M"], ["S", "M", "L"])})
    assert infer_schema(ordered)["size"].categories == ("S", "M", "L")


def test_errors_name_the_place():
    frame = pd.DataFrame([["1", "2"]], columns=["a", "a"])
    with pytest.raises(InvalidDataError, match="'a' occurs twice"):
        infer_schema(frame)
    frame = pd.DataFrame({"churned": ["x"], "b": [{"k": 1}]})
    with pytest.raises(InvalidDataError, match=r"Column 'b', row 0 .* holds a dict"):
        infer_schema(frame)
    with pytest.raises(InvalidDataError, match=r"No label column 'churn'. Did you mean 'churned'\?"):
        infer_schema(frame[["churned"]], label="churn")
    with pytest.raises(InvalidDataError, match="No column 'z'"):
        infer_schema(frame[["churned"]], kinds={"z": "text"})
    schema = infer_schema(frame[["churned"]])
    with pytest.raises(InvalidDataError, match="Missing column 'churned'"):
        schema.apply(pd.DataFrame(index=[0]))
    with pytest.raises(InvalidDataError, match="Unknown column 'b'"):
        schema.apply(frame)
    with pytest.raises(InvalidDataError, match="Unknown column 'q'"):
        schema["q"]
    with pytest.raises(InvalidDataError, match="complex"):
        infer_schema(pd.DataFrame({"a": [1j]}))


def test_the_table_is_for_people():
    frame = pd.DataFrame({"id": ["a1", "b2"], "x": ["", "NA"], "class": ["u", "v"]})
    table = infer_schema(frame).table()
    assert table["role"].tolist() == ["row id", "empty", "feature"]
    assert infer_schema(frame, label="class").table()["role"].tolist()[2] == "label"


def test_no_rows_and_no_columns():
    assert infer_schema(pd.DataFrame()).columns == ()
    assert infer_schema(pd.DataFrame({"a": []}))["a"].empty
