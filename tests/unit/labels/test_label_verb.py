"""``easeml label`` as a person uses it, against a label service in this process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from easeml.cli.root import app as command
from easeml.errors import NotFoundError
from easeml.labels.client import LabelClient
from easeml.stream.payloads import Column, ColumnKind, Pillar, QuestionKind, RelationBatch
from easeml.stream.topics import ANNOTATIONS, DATA_PRODUCTION, DATA_TRAIN


@pytest.fixture
async def label(serve, tmp_path):
    """Run the verb with typed lines; the end of the input is what Ctrl-D (and for us Ctrl-C) is."""
    address = await serve()

    async def run(*typed: str, arguments=("churn", "--annotator", "ada"), options=()):
        environment = {
            "EASEML_LABELS_PORT": address.rpartition(":")[2],
            "EASEML_HOME": str(tmp_path),
            "EASEML_BOOTSTRAP_SERVERS": "",
            "COLUMNS": "120",
        }
        text = "".join(f"{line}\n" for line in typed)
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(command, [*options, "label", *arguments], input=text, env=environment)
        )

    return run


def put_row(house, row_id: str, topic=DATA_PRODUCTION) -> None:
    columns = (
        Column("age", ColumnKind.NUMERIC),
        Column("plan", ColumnKind.CATEGORICAL, ("basic", "pro")),
        Column("photo", ColumnKind.TENSOR, shape=(2, 2)),
    )
    pillar = Pillar(topic.noun.removeprefix("data."))
    batch = RelationBatch(app="churn", pillar=pillar, version="v", columns=columns, row_ids=(row_id,),
                          numeric=np.array([31.0]), codes=np.array([1], np.int32),
                          tensor=np.array([0.0, 9.0, 9.0, 0.0]))  # fmt: skip
    house.put(topic, batch)


async def test_the_row_is_shown(house, question, label):
    put_row(house, "row-q")
    house.ask(question(context={"hint": "blue [b]"}))
    shown = await label("q")
    assert shown.exit_code == 0, shown.output
    for text in (
        "Row row-q",
        "1.00 bits for 1 label",
        "asked by modelpicker",
        "age",
        "31",
        "plan",
        "pro",
        " @",
        "@ ",
        "hint",
        "blue [b]",
        "no",
        "yes",
    ):
        assert text in shown.output


async def test_a_row_that_is_gone_is_said_to_be(house, question, label):
    house.ask(question())
    assert "not known here any more" in (await label("q")).output


@pytest.mark.parametrize(("typed", "value"), [("yes", 1), ("YES", 1), ("2", 1), ("no", 0), ("1", 0)])
async def test_text_and_number_answer(house, question, label, typed, value):
    house.ask(question())
    shown = await label(typed)
    assert shown.exit_code == 0
    assert "1 answer given." in shown.output
    assert [(a.value, a.annotator) for a in house.annotations()] == [(value, "ada")]


async def test_anything_else_is_asked_again(house, question, label):
    house.ask(question())
    shown = await label("bogus", "99", "", "yes")
    assert "'bogus' is not one of no, yes, s or q." in shown.output
    assert "'99' is not one of" in shown.output
    assert [a.value for a in house.annotations()] == [1]


@pytest.fixture
def cell(question):
    """Ask for the plan of a training row."""

    def make(**changes):
        standard = {"kind": QuestionKind.CELL, "pillar": Pillar.TRAIN, "column": "plan", "asked_by": "cpclean"}
        return question(
            **standard | {"candidates": ("basic", "pro"), "information_gain": 0.0213, "cost": 2.0} | changes
        )

    return make


@pytest.fixture
def plans(house, app):
    """The app has a column of plans and one of ages."""
    plan = Column("plan", ColumnKind.CATEGORICAL, ("basic", "pro"))
    house.define(replace(app, columns=(*app.columns, plan), cleaning_budget=10))


@pytest.mark.usefixtures("plans")
async def test_a_cell_is_asked_with_its_row_candidates_sources_bits_and_cost(house, cell, label):
    put_row(house, "row-q", DATA_TRAIN)
    house.ask(cell(context={"candidates from": "datamagic.repairs@1 (basic, pro)"}))
    shown = (await label("q")).output
    for text in (
        "Row row-q, column plan",
        "train, 0.0213 bits for 2 labels, asked by cpclean",
        "pro  <- asked",
        "age",
        "candidates from datamagic.repairs@1 (basic, pro)",
        "1 basic  0.50",
        "=VALUE for another one",
    ):
        assert text in shown


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize(
    ("typed", "value", "text"),
    [("=gold", -2, "gold"), ("= Gold Plus", -2, "Gold Plus"), ("pro", 1, "pro"), ("=pro", 1, "pro")],
)
async def test_another_value_answers_a_cell(house, cell, label, typed, value, text):
    house.ask(cell())
    shown = await label("gold", typed)
    assert "'gold' is not one of basic, pro, =VALUE, s or q." in shown.output
    assert "1 answer given." in shown.output
    assert [(answer.value, answer.text) for answer in house.answers()] == [(value, text)]


@pytest.mark.usefixtures("plans")
async def test_another_value_that_does_not_fit_is_asked_again(house, cell, label):
    house.ask(cell(column="age", candidates=("30.0", "40.0")))
    shown = await label("=old", "35", "40")
    assert "'old' does not fit the numeric column 'age'. Give a number." in shown.output
    assert "'35' is not one of" in shown.output
    assert [answer.text for answer in house.answers()] == ["40.0"]


async def test_a_label_takes_no_other_value(house, question, label):
    house.ask(question())
    shown = await label("=perhaps")
    assert "'=perhaps' is not one of no, yes, s or q." in shown.output
    assert "=VALUE" not in shown.output


async def test_where_classes_are_numbers_only_their_text_counts(house, question, label, app):
    house.define(replace(app, classes=("3", "1", "2")))
    house.ask(question(candidates=("3", "1", "2"), probabilities=np.array([0.2, 0.3, 0.5])))
    shown = await label("1")
    assert "Text, s to skip" in shown.output
    assert [a.value for a in house.annotations()] == [1]  # the class called 1, not the first one


async def test_words_give_way_to_classes(house, question, label, app):
    house.define(replace(app, classes=("s", "q")))
    house.ask(question(candidates=("s", "q")))
    shown = await label("q")
    assert ":s to skip, :q to stop" in shown.output
    assert [a.value for a in house.annotations()] == [1]


async def test_skip_passes_the_question_on(house, question, label):
    house.ask(question())
    shown = await label("s")
    assert "0 answers given, 1 skipped." in shown.output
    assert house.service.queues["churn"].open["q"].skipped_by == ["ada"]
    assert "No open questions" in (await label()).output  # not offered to ada again


async def test_the_end_of_the_input_still_counts(house, question, label):
    house.ask(question("a"), question("b"))
    shown = await label("yes")
    assert shown.exit_code == 0
    assert "1 answer given." in shown.output
    assert "Aborted" not in shown.output


async def test_limit(house, question, label):
    house.ask(question("a"), question("b"))
    shown = await label("yes", "yes", arguments=("churn", "--limit", "1"))
    assert "1 answer given." in shown.output
    assert len(house.annotations()) == 1


async def test_no_questions_are_said_to_be_none(house, question, label):
    house.ask(question())
    await label("yes")
    shown = await label()
    assert shown.exit_code == 0
    assert "No open questions for churn" in shown.output


async def test_questions_that_wait_for_other_people_are_said_to(house, question, label, app):
    house.define(replace(app, redundancy=2))
    house.ask(question())
    shown = await label("yes")
    assert "1 answer given" in shown.output
    shown = await label()
    assert "No open questions for you in churn. Other people are wanted for 1:" in " ".join(shown.output.split())
    shown = await label("yes", arguments=("churn", "--annotator", "bob"))
    assert "1 answer given" in shown.output
    assert [answer.annotators for answer in house.answers()] == [2]


async def test_a_spent_budget_is_said_to_be(house, question, label, app):
    house.define(replace(app, label_budget=0, cleaning_budget=0))
    house.ask(question(), question("cell", asked_by="cpclean"), question("pool", asked_by="market"))
    shown = await label("yes")
    assert "1 answer given." in shown.output
    shown = " ".join((await label()).output.split())
    assert "The label budget of churn is spent, so questions of modelpicker wait." in shown
    assert "easeml apps update churn --label-budget N" in shown
    assert "The cleaning budget of churn is spent, so questions of cpclean wait." in shown
    assert "easeml apps update churn --cleaning-budget N" in shown
    assert "acquisition" not in shown


async def test_an_unknown_app_is_an_error(house, question, label, monkeypatch):
    class Apps:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def app(self, name):
            raise NotFoundError(f"There is no app {name!r}.")

    monkeypatch.setattr("easeml.cli.session.Session.client", lambda _: Apps())
    house.ask(question())
    shown = await label(arguments=("nosuch",))
    assert isinstance(shown.exception, NotFoundError)


async def test_somebody_else_was_faster(house, question, label, annotation, monkeypatch):
    house.ask(question())
    answer = LabelClient.answer

    def late(self, *arguments, **options):
        house.put(ANNOTATIONS, annotation(annotator="bob"))
        return answer(self, *arguments, **options)

    monkeypatch.setattr(LabelClient, "answer", late)
    shown = await label("yes")
    assert shown.exit_code == 0, shown.exception
    assert "Not counted" in shown.output
    assert "0 answers given." in shown.output


async def test_programs_get_json(house, question, label):
    put_row(house, "row-q")
    house.ask(question())
    shown = await label("yes", options=("--json",))
    # The runner echoes what is typed; a program's pipe does not.
    asked, count = (json.loads(line) for line in shown.stdout.splitlines() if line.startswith("{"))
    assert (asked["question"], asked["row"]["age"], asked["row"]["photo"]) == ("q", 31.0, [[0.0, 9.0], [9.0, 0.0]])
    assert count == {"answered": 1, "skipped": 0}
