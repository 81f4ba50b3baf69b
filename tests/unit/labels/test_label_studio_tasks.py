"""Questions as Label Studio tasks and its export as answers, through the verb and the label service."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from typer.testing import CliRunner

from easeml.cli.root import app as command
from easeml.datamagic import read_label_studio
from easeml.errors import InvalidDataError
from easeml.labels import label_studio
from easeml.stream.payloads import Pillar, QuestionKind

EXPORT = Path(__file__).with_name("label_studio_export.json")


@pytest.fixture
async def label(serve, tmp_path):
    """Run ``easeml --json label`` and return what it says."""
    address = await serve()
    environment = {
        "EASEML_LABELS_PORT": address.rpartition(":")[2],
        "EASEML_HOME": str(tmp_path),
        "EASEML_BOOTSTRAP_SERVERS": "",
    }

    async def run(*arguments):
        words = ["--json", "label", *map(str, arguments)]
        shown = await asyncio.to_thread(lambda: CliRunner().invoke(command, words, env=environment))
        if shown.exception is not None and not isinstance(shown.exception, SystemExit):
            raise shown.exception
        assert shown.exit_code == 0, shown.output
        return json.loads(shown.stdout.splitlines()[-1])

    return run


@pytest.fixture
def asked(house, question, app):
    """A question about a label and one about a cell are open."""
    house.define(replace(app, cleaning_budget=10))
    cell = {"kind": QuestionKind.CELL, "pillar": Pillar.TRAIN, "column": "age", "asked_by": "cpclean"}
    house.ask(
        question("label", probabilities=np.array([0.25, 0.75]), context={"hint": "blue"}),
        question("cell", candidates=("30.0", "40.0"), information_gain=0.5, **cell),
    )


@pytest.mark.usefixtures("asked")
async def test_open_questions_become_tasks_with_pre_annotations(label, tmp_path):
    file, config = tmp_path / "tasks.json", tmp_path / "project.xml"
    told = await label("export", "churn", file, "--config", config)
    assert (told["app"], told["tasks"]) == ("churn", 2)
    first, second = json.loads(file.read_text())
    assert first["data"]["easeml_question"] == "label"
    assert first["data"]["choices"] == [{"value": "no"}, {"value": "yes"}]
    assert first["data"]["probabilities"] == {"yes": 0.75, "no": 0.25}
    assert first["data"]["row"] == {"hint": "blue"}
    assert second["data"]["ask"] == "What is the value of age of row row-cell?"
    (predicted,) = first["predictions"]
    assert (predicted["model_version"], predicted["score"]) == ("easeml", 0.75)
    names = {tag.get("name") for tag in ET.fromstring(config.read_text())}
    assert {predicted["result"][0]["from_name"], predicted["result"][0]["to_name"]} <= names
    # The tasks are such as our own reader of Label Studio's exports takes, pre-annotation and all.
    candidates = read_label_studio(
        file.read_text(), classes=("no", "yes", "30.0", "40.0"), id_field="row_id"
    ).candidates
    assert candidates.query("row_id == 'row-label' and value == 'yes'").probability.item() == 0.75


@pytest.mark.usefixtures("asked")
async def test_annotations_become_answers_once_however_often_they_are_brought_in(house, label):
    told = await label("import", "churn", EXPORT)
    assert (told["annotations"], told["answered"], told["other_tasks"]) == (3, 2, 1)
    assert told["skipped"] + len(told["refused"]) == 1  # skipped by another after it was answered
    assert [(one.question, one.text) for one in house.answers()] == [("label", "yes"), ("cell", "33.5")]
    assert {one.annotator for one in house.annotations()} >= {"ada@example.com", "label-studio-1"}
    before = len(house.annotations())
    again = await label("import", "churn", EXPORT)
    assert again["answered"] == 2
    assert len(house.annotations()) == before


@pytest.mark.usefixtures("asked")
async def test_another_word_of_the_same_person_is_told_not_counted(house, label, tmp_path):
    await label("import", "churn", EXPORT)
    tasks = json.loads(EXPORT.read_text())[:1]
    tasks[0]["annotations"] = tasks[0]["annotations"][:1]
    tasks[0]["annotations"][0]["result"][0]["value"]["choices"] = ["no"]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(tasks))
    told = await label("import", "churn", changed)
    assert told["answered"] == 0
    assert told["refused"] == [{"question": "label", "annotator": "ada@example.com", "reason": "question_answered"}]
    assert len(house.answers()) == 2


async def test_answers_to_questions_nobody_asked_are_told(house, question, label):
    house.ask(question("another"))
    told = await label("import", "churn", EXPORT)
    assert told["answered"] == 0
    assert {one["reason"] for one in told["refused"]} == {"question_not_found"}


def task(**annotation):
    return {"id": 7, "data": {"easeml_app": "churn", "easeml_question": "q"}, "annotations": [annotation]}


def choice(*choices):
    return {"type": "choices", "from_name": "answer", "to_name": "row", "value": {"choices": list(choices)}}


BLANK = {"type": "textarea", "value": {"text": [" "]}}


@pytest.mark.parametrize(
    ("annotation", "annotator", "said"),
    [
        ({"completed_by": 3, "result": [choice("yes")]}, "label-studio-3", ("yes", None)),
        ({"completed_by": {"id": 4}, "result": [choice("yes")]}, "label-studio-4", ("yes", None)),
        ({"result": [choice("yes", "yes")]}, "label-studio-unknown", ("yes", None)),
        ({"result": []}, "label-studio-unknown", (None, None)),
        ({"result": None}, "label-studio-unknown", (None, None)),
        ({"was_cancelled": True, "result": [choice("yes")]}, "label-studio-unknown", (None, None)),
        ({"result": [{"type": "textarea", "value": {"text": " 5 "}}]}, "label-studio-unknown", (None, "5")),
        (
            {"result": [{"type": "textarea", "value": {"text": [" "]}}, choice("a")]},
            "label-studio-unknown",
            ("a", None),
        ),
        ({"result": [{"type": "rating", "value": {"rating": 3}}]}, "label-studio-unknown", (None, None)),
    ],
)
def test_every_shape_of_annotation_is_read(annotation, annotator, said):
    ((one,), strange) = label_studio.said([task(**annotation)], "churn")
    assert (one.annotator, (one.choice, one.other), strange) == (annotator, said, 0)


@pytest.mark.parametrize(
    "export",
    [
        {"tasks": []},
        ["task"],
        [task(result=[choice("a", "b")])],
        [task(result=[choice("a"), {"type": "textarea", "value": {"text": ["b"]}}])],
        [task(result=["odd"])],
        [task(result=[{"type": "choices", "value": {"choices": 5}}])],
        [task(result=[{"type": "choices", "value": {"choices": [5]}}])],
        [task(result=5)],
        [{**task(), "annotations": [1]}],
        [{**task(), "annotations": {"a": 1}}],
    ],
)
def test_what_is_no_export_is_refused_with_a_mend(export):
    with pytest.raises(InvalidDataError) as caught:
        label_studio.said(export, "churn")
    assert caught.value.mend


async def test_a_file_that_is_no_json_is_refused(label, tmp_path):
    file = tmp_path / "no.json"
    file.write_text("{")
    with pytest.raises(InvalidDataError, match="is no JSON"):
        await label("import", "churn", file)
