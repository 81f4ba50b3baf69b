"""Slices of a large file are read as the whole file would be."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from datamagic_town import APP, COLUMNS, Town, csv, frame, upload

from easeml.datamagic.ingestion import leads, sources
from easeml.datamagic.ingestion import uploads as work
from easeml.datamagic.ingestion.sources import Sources
from easeml.relation import Relation
from easeml.stream.payloads import Column, ColumnKind, Pillar, RunState
from easeml.stream.topics import UPLOADS_TEST


@pytest.fixture(autouse=True)
def small_slices(monkeypatch):
    leads._learnt.clear()
    monkeypatch.setattr(work, "WHOLE_BYTES", 4000)
    monkeypatch.setattr("easeml.datamagic.ingestion.slices.cut.__defaults__", (3000,))


def cells(content, monkeypatch, app=APP, whole=False, **options):
    """Return the cells of a file by row id, and the town that read it."""
    if whole:
        monkeypatch.setattr(work, "WHOLE_BYTES", 10**9)
    town = Town(app=app)
    town.send(upload(content, id_column="key", repairs=0, **options))
    assert town.letters() == []
    tables = []
    for pillar in town.rows():
        relation = Relation.from_batches(town.batches(pillar))
        tables.append(relation.frame().assign(key=relation.row_ids))
    # Labels of test rows are kept apart, and whole files are split otherwise.
    return pd.concat(tables).drop(columns="label").set_index("key").sort_index().map(str), town


def keyed(rows=400, **columns):
    table = frame(rows).assign(key=[f"k{place:04}" for place in range(rows)])
    return table.assign(**{name: [write(place) for place in range(rows)] for name, write in columns.items()})


AMOUNT = replace(APP, columns=(*COLUMNS, Column("amount", ColumnKind.NUMERIC)))
MOMENT = replace(APP, columns=(*COLUMNS, Column("when", ColumnKind.DATETIME)))


@pytest.mark.parametrize(
    "write",
    [
        lambda place: f"1.{place % 900 + 100},50" if place < 60 else f"1.{place % 900 + 100}",
        lambda place: "1,234,567" if place % 7 == 0 and place < 60 else f"{place},{place % 900 + 100}",
        lambda place: f"{place}.25" if place % 50 != 49 else "lots",
        lambda place: f"${place}" if place < 60 else f"{place}.5",
    ],
)
def test_numbers_mean_the_same_in_every_slice(monkeypatch, write):
    content = csv(keyed(amount=write))
    sliced, town = cells(content, monkeypatch, AMOUNT)
    whole, other = cells(content, monkeypatch, AMOUNT, whole=True)
    pd.testing.assert_frame_equal(sliced, whole, check_like=True)
    assert town.runs()[-1].parameters["clashes"] == other.runs()[-1].parameters["clashes"]


def test_decimal_commas_of_the_dialect_hold_in_every_slice(monkeypatch):
    table = keyed(amount=lambda place: f"{place},{place % 9}50" if place != 300 else "many")
    content = csv(table.assign(x=0, y=table["x"].map(lambda x: f"{x:.3f}".replace(".", ","))), sep=";")
    sliced, _ = cells(content, monkeypatch, AMOUNT, seed=3)
    assert sliced.loc["k0210", "amount"] == "210.35"
    assert sliced.loc["k0300", "amount"] == "nan"
    assert sliced.loc["k0301", "amount"] == "301.45"


def test_an_order_of_dates_that_the_first_slice_decides_holds(monkeypatch):
    content = csv(keyed(when=lambda place: "25/03/2021" if place < 60 and place % 3 == 0 else "03/04/2021"))
    sliced, town = cells(content, monkeypatch, MOMENT)
    whole, _ = cells(content, monkeypatch, MOMENT, whole=True)
    pd.testing.assert_frame_equal(sliced, whole, check_like=True)
    assert town.runs()[-1].state is RunState.COMPLETE


def test_an_encoding_that_only_the_end_decides_holds_from_the_start(monkeypatch):
    app = replace(APP, columns=(*COLUMNS, Column("note", ColumnKind.TEXT)))
    table = keyed(note=lambda place: f"note {place} " + ("Müller, Straße" if place > 200 else "plain"))
    sliced, _ = cells(csv(table).decode().encode("cp1252"), monkeypatch, app)
    assert sliced.loc["k0399", "note"] == "note 399 Müller, Straße"


def test_a_file_that_mixes_encodings_is_refused_before_a_row_is_published():
    town = Town()
    lines = csv(frame(400)).splitlines(keepends=True)
    lines[100] = "Müller,2,red,yes\n".encode("cp1252")
    lines[390] = "Müller,2,red,yes\n".encode()
    town.send(upload(b"".join(lines)))
    assert town.letters()[0][0] == "encoding"
    assert town.rows() == {}


@pytest.mark.parametrize("head", ["", "Report of the shop\nmade 2024\n\n"])
def test_what_stands_before_the_table_is_read_once(monkeypatch, head):
    table = keyed()
    content = head.encode() + csv(table)
    sliced, _ = cells(content, monkeypatch)
    whole, _ = cells(content, monkeypatch, whole=True)
    pd.testing.assert_frame_equal(sliced, whole, check_like=True)


def test_a_first_column_of_row_numbers_is_left_out_of_every_slice(monkeypatch):
    sliced, _ = cells(keyed().to_csv().encode(), monkeypatch)
    assert len(sliced) == 400


def test_a_key_that_a_slice_of_records_never_has_is_missing_there(monkeypatch):
    table = keyed()
    records = [
        {name: value for name, value in row.items() if name != "y" or place < 60}
        for place, row in enumerate(table.to_dict("records"))
    ]
    content = "\n".join(map(json.dumps, records)).encode()
    sliced, _ = cells(content, monkeypatch, name="shop.jsonl")
    assert (sliced["y"] == "nan").sum() == 340


def test_repairs_are_learnt_once_and_from_training_rows_only(monkeypatch):
    fitted, table = [], frame(600, missing=0.1)
    original = work.RepairModel.fit

    def fit(self, relation, *, rng):
        fitted.append(set(relation.row_ids))
        return original(self, relation, rng=rng)

    monkeypatch.setattr(work.RepairModel, "fit", fit)
    town = Town()
    town.send(upload(csv(table)))
    assert town.letters() == []
    rows = town.rows()
    assert len(fitted) == 1
    assert fitted[0] <= rows[Pillar.TRAIN]
    assert len(town.cluster.events(UPLOADS_TEST)) > 4


def stored(path, content, **options):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return replace(upload(content, **options), uri=path.as_uri(), content=b"")


@pytest.mark.parametrize("when", ["between slices", "while it is read"])
def test_a_file_that_changes_under_way_fails(monkeypatch, tmp_path, when):
    path = tmp_path / "store" / "shop.csv"
    town = Town(roots=(path.parent.as_uri(),))
    content, calls = csv(frame(400)), []

    def spoil():
        calls.append(1)
        if len(calls) == 3:
            path.write_bytes(content.replace(b"yes", b"no "))

    original = work.go_on if when == "between slices" else work.slices.cut

    def spoilt(*given, **options):
        spoil()
        return original(*given, **options)

    monkeypatch.setattr(work if when == "between slices" else work.slices, original.__name__, spoilt)
    town.send(stored(path, content))
    last = town.runs()[-1]
    assert last.state is RunState.FAIL
    assert "has changed" in last.message
    assert 0 < sum(map(len, town.rows().values())) < 400


def test_what_is_opened_is_what_was_checked(monkeypatch, tmp_path):
    path = tmp_path / "store" / "own.csv"
    stored(path, b"own")
    (tmp_path / "secret.csv").write_bytes(b"secret")
    link = path.parent / "link.csv"
    link.symlink_to(path)
    files = Sources((path.parent.as_uri(),))
    system = sources._system("file")

    def turned(scheme):
        link.unlink()
        link.symlink_to(tmp_path / "secret.csv")
        return system

    monkeypatch.setattr(sources, "_system", turned)
    with files.open(link.as_uri()) as file:
        assert file.read() == b"own"
