"""``easeml upload`` hands files of other programs to DataMagic and tells what it took and what it left out."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from easeml.client import Client
from easeml.errors import InvalidDataError, UnavailableError
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import DATA_TEST_LABELS

FORMATS = Path(__file__).parents[2] / "data" / "formats"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def create(easeml):
    """Create an app with a small test set."""

    def run(label):
        name = f"app-{uuid.uuid4().hex[:8]}"
        easeml("apps", "create", name, "--label", label, "--condition", "n > 0.5 +/- 0.2", "--steps", "2")
        return name

    return run


def messy(path, rows=400):
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows).round(4)
    lines = [
        f"{value},{'' if place % 9 == 0 else 2 * value},{'up' if value > 0 else 'down'}"
        for place, value in enumerate(x.tolist())
    ]
    lines[20], lines[30] = "oops,1.0,up", "0.5,1.0"
    path.write_text("\n".join(["x,y,way", *lines]) + "\n")
    return path


def test_nobody_answers(easeml, create, tmp_path):
    name, file = create("way"), messy(tmp_path / "m.csv")
    with pytest.raises(UnavailableError, match=r"DataMagic did not end in 0\.01 s"):
        easeml("upload", name, file, "--wait", "0.01")
    assert "Sent m.csv to" in easeml("upload", name, file, "--wait", "0")
    with pytest.raises(InvalidDataError, match="is a folder"):
        easeml("upload", name, tmp_path)


@pytest.mark.usefixtures("answering")
def test_a_messy_file(easeml, create, tmp_path):
    name, file = create("way"), messy(tmp_path / "m.csv")
    done = easeml("upload", name, file, as_json=True)
    assert (done["state"], done["new"], sum(done["rows"].values())) == ("done", True, 399)
    assert (done["left_out"], done["clashing"]) == (1, 1)
    assert done["candidates"] >= 44
    assert done["columns"] == {"x": "numeric", "y": "numeric"}
    assert any(line.startswith("line 32: 2 fields") for line in done["told"])
    assert "line 22, column 'x': 'oops' is not numeric" in done["told"]
    said = easeml("upload", name, file)
    assert said.startswith(f"Already there, nothing new: {name} holds the rows of m.csv")
    renamed = file.rename(tmp_path / "renamed.csv")
    assert easeml("upload", name, renamed, as_json=True)["upload"] == done["upload"]
    with pytest.raises(InvalidDataError, match="is numeric, not text"):
        easeml("upload", name, messy(tmp_path / "n.csv", 500), "--kind", "x=text")
    pd.DataFrame({"x": [1.0], "y": [2.0]}).to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(InvalidDataError, match="no label column 'way'"):
        easeml("upload", name, tmp_path / "bare.csv", "--pillar", "train")


@pytest.mark.usefixtures("answering")
def test_what_only_the_sender_knows_of_a_file(easeml, create, cluster, tmp_path):
    workbook = create("churned")
    done = easeml(
        "upload", workbook, FORMATS / "libreoffice_two_sheets.xlsx", "--sheet", "Customers", "--pillar", "train",
        as_json=True,
    )  # fmt: skip
    assert done["rows"] == {"train": 20}
    assert done["columns"]["revenue"] == "numeric"
    dated, file = create("y"), tmp_path / "d.txt"
    lines = [f"{place % 3}|0{place % 9 + 1}/04/2021|{'né' if place % 2 else 'ja'}" for place in range(20)]
    file.write_bytes("\n".join(["code|when|y", *lines]).encode("cp1252"))
    options = ("--format", "csv", "--delimiter", "|", "--encoding", "cp1252", "--day-first", "--kind", "code=text")
    assert easeml("upload", dated, file, "--pillar", "train", *options, as_json=True)["rows"] == {"train": 20}
    with Client(cluster.bootstrap_servers, home=cluster.home) as client:
        relation = client.relation(dated)
    assert {column.name: column.kind.value for column in relation.columns} == {"code": "text", "when": "datetime"}
    assert set(relation.frame()["when"].dt.month) == {4}
    assert relation.classes == ("ja", "né")


@pytest.mark.usefixtures("answering")
def test_a_file_in_the_store_is_read_there(easeml, create, cluster, tmp_path):
    name = create("way")
    inside = cluster.home / "artifacts" / "in" / "m.csv"
    inside.parent.mkdir(parents=True)
    messy(inside)
    done = easeml("upload", name, inside.resolve().as_uri(), "--repairs", "0", as_json=True)
    assert (done["state"], done["candidates"]) == ("done", 0)
    elsewhere = messy(tmp_path / "e.csv", 300).as_uri()
    again = easeml("upload", name, elsewhere, "--pillar", "pool", as_json=True)
    assert again["rows"] == {"pool": 299}


@pytest.mark.usefixtures("answering")
def test_test_rows_without_labels(easeml, create, cluster, tmp_path):
    name = create("way")
    easeml("upload", name, messy(tmp_path / "m.csv"), "--pillar", "train")
    bare = pd.DataFrame({"x": np.arange(300) / 7, "y": np.arange(300) / 3})
    bare.to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(InvalidDataError, match=r"easeml apps update .* --test-label-budget N"):
        easeml("upload", name, tmp_path / "bare.csv", "--pillar", "test")
    easeml("apps", "update", name, "--test-label-budget", "500")
    said = easeml("upload", name, tmp_path / "bare.csv", "--pillar", "test")
    assert "bare.csv" in said
    assert "300 test" in said
    assert f"asked for where a verdict needs them: 'easeml label {name} --test'." in said
    reader = TopicReader(Settings.load(bootstrap_servers=cluster.bootstrap_servers), [DATA_TEST_LABELS.name])
    assert not [event for event in reader.replay() if event.app == name]
    reader.close()
