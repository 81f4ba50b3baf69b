"""``easeml publish`` takes files of every format to the topic, and tells what it read."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from easeml.client import Client
from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.stream.payloads import RelationBatch
from easeml.stream.topics import PILLAR_TOPICS

FORMATS = Path(__file__).parents[2] / "data" / "formats"


@pytest.fixture
def published(easeml, cluster):
    """Create an app, publish a file to its training rows and read them back from the topic."""

    def run(file, label, *options):
        name = f"app-{uuid.uuid4().hex[:8]}"
        easeml("apps", "create", name, "--label", label)
        said = easeml("publish", name, file, "--pillar", "train", *options)
        with Client(cluster.bootstrap_servers, home=cluster.home) as client:
            topic = PILLAR_TOPICS["train"].name
            found = [event.data for event in client.events(name, topic, follow=False)]
        batches = [batch for batch in found if isinstance(batch, RelationBatch)]
        return name, said, Relation.from_batches(batches, label=label)

    return run


def folder_of_images(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for place in range(3):
            pixels = rng.integers(0, 256, (9 + place, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{place}.png")
    return root


@pytest.mark.parametrize(
    ("file", "label", "options", "rows", "kinds", "told"),
    [
        ("chromium_export.csv", "gekündigt", (), 12, {"Umsatz": "numeric"}, "csv, utf-8, semicolon, decimal comma"),
        (
            "libreoffice_titles.xlsx",
            "churned",
            (),
            20,
            {"since": "datetime", "revenue": "numeric"},
            "2 rows before the",
        ),
        ("libreoffice_two_sheets.xlsx", "churned", ("--sheet", "Customers"), 20, {"revenue": "numeric"}, "Customers"),
        ("r_mtcars.csv.gz", "am", ("--id-column", "row_name"), 12, {"mpg": "numeric"}, "csv, utf-8, comma"),
        ("sqlite.json", "active", (), 6, {"balance": "numeric", "note": "text"}, "id tells rows apart"),
        ("postgres_copy_header.tsv", "active", (), 6, {"balance": "numeric"}, "database copy"),
    ],
)
def test_files_of_other_programs(published, file, label, options, rows, kinds, told):
    _, said, relation = published(FORMATS / file, label, *options)
    assert len(relation) == rows
    assert kinds.items() <= {column.name: column.kind.value for column in relation.columns}.items()
    assert f"Read {rows} rows of" in said
    assert told in said


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "parquet", "feather"])
def test_tables_of_every_format_are_the_same_rows(published, tmp_path, ending):
    frame = pd.DataFrame({"x": [0.5, None, 2.5, 3.5], "plan": ["a", "b", "a", "b"], "y": ["n", "y", "n", "y"]})
    file = tmp_path / f"t.{ending}"
    {
        "tsv": lambda: frame.to_csv(file, index=False, sep="\t"),
        "jsonl": lambda: frame.to_json(file, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(file),
        "feather": lambda: frame.to_feather(file),
    }[ending]()
    _, _, relation = published(file, "y")
    assert relation.classes == ("n", "y")
    assert relation.frame()["plan"].tolist() == ["a", "b", "a", "b"]
    np.testing.assert_array_equal(relation.frame()["x"], frame["x"])


def test_folders_and_documents(published, easeml, tmp_path):
    images = folder_of_images(tmp_path / "images")
    _, said, relation = published(images, "animal", "--size", "4x4")
    assert relation.columns[0].shape == (4, 4, 3)
    assert relation.classes == ("cat", "dog")
    assert "1 tensor" in said
    with pytest.raises(InvalidDataError, match="pixels"):
        published(images, "animal")
    for label in ("bad", "good"):
        (tmp_path / "texts" / label).mkdir(parents=True)
        for place in range(2):
            (tmp_path / "texts" / label / f"{place}.txt").write_text(f"The service was {label} {place}.")
    name, _, relation = published(tmp_path / "texts", "mood")
    assert relation.frame()["text"].tolist()[0] == "The service was bad 0."
    assert "2 pool" in easeml("publish", name, FORMATS / "chromium_two_pages.pdf", "--pillar", "pool")
    assert "1 pool" in easeml("publish", name, FORMATS / "libreoffice_writer.docx", "--pillar", "pool")


def test_a_messy_table_ends_in_a_relation(easeml, reference_data, tmp_path):
    rows = pd.read_parquet(reference_data / "cpclean" / "supreme_systematic" / "train_dirty.parquet")
    text = rows.drop(columns="label").map(lambda cell: "k.A." if pd.isna(cell) else f"{cell}".replace(".", ","))
    text["verdict"] = rows["label"].map({0: "affirmed", 1: "reversed"})
    text["when"] = [["2024-01-31", "28.02.2024", "31/01/2024"][place % 3] for place in range(len(text))]
    text["note"] = ['said "no; never"' if place % 5 == 0 else "" for place in range(len(text))]
    text.iloc[7, 0] = "oops"
    text = text.replace("k.A.", "n/a")
    lines = ["Export of the court;;;", "", *text.to_csv(index=False, sep=";", lineterminator="\r\n").split("\r\n")]
    lines.insert(40, "one field too few")
    file = tmp_path / "messy.csv"
    file.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    name = f"app-{uuid.uuid4().hex[:8]}"
    easeml("apps", "create", name, "--label", "verdict", "--condition", "n > 0.5 +/- 0.2", "--steps", "2")
    with pytest.raises(InvalidDataError, match=r"messy\.csv, line 41: 1 field, but the header has \d+"):
        easeml("publish", name, file)
    with pytest.raises(InvalidDataError, match=r"line 11, column .*'oops' is not a numeric value"):
        easeml("publish", name, file, "--skip-bad-rows", "--strict")
    done = easeml("publish", name, file, "--skip-bad-rows", as_json=True)
    read = done["read"]
    assert sum(done["rows"].values()) == len(rows)
    assert (read["rows"], read["left_out"], read["clashing"]) == (len(rows), 1, 1)
    assert read["rejects"][0]["place"] == "line 41"
    assert read["clashes"][0] | {"column": ""} == {"row": "11", "column": "", "value": "oops"}
    assert 0.05 < read["missing"] < 0.5
    assert done["columns"]["when"] == "datetime"
    assert done["classes"] == ["affirmed", "reversed"]


def test_a_summary_for_people(easeml, tmp_path):
    file = tmp_path / "t.csv"
    rows = [f"{place}.5,{'ab'[place % 2]},{'ny'[place % 3 == 0]}" for place in range(60)]
    file.write_text("x,plan,y\n" + "\n".join(rows) + "\nwhat,a,n\nN/A,b,y\n")
    name = f"app-{uuid.uuid4().hex[:8]}"
    easeml("apps", "create", name, "--label", "y")
    said = easeml("publish", name, file, "--pillar", "train")
    assert re.search(r"Read 62 rows of \S+t\.csv \(csv, utf-8, comma\)\.", said)
    assert "columns 1 numeric, 1 categorical; 1.6% of their cells missing" in said
    assert "missing written as 'N/A'" in said
    assert "1 value clashes with its column and is taken for missing, first line 62, column x: 'what'" in said
