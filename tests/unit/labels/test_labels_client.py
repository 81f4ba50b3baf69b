from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import grpc
import numpy as np
import pytest

from easeml.errors import (
    BudgetExhaustedError,
    ConflictError,
    EaseMLError,
    InvalidDataError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from easeml.labels.client import LabelClient, Spending
from easeml.labels.oracle import Oracle
from easeml.stream.payloads import Column, ColumnKind, Pillar, QuestionKind, RelationBatch
from easeml.stream.topics import DATA_PRODUCTION


@pytest.fixture
async def client(serve):
    with LabelClient(await serve(), patience=5.0) as client:
        yield client


async def listed(client, *arguments, **options):
    return await asyncio.to_thread(lambda: list(client.questions(*arguments, **options)))


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_questions_as_python_objects(house, client, question):
    columns = (Column("photo", ColumnKind.TENSOR, shape=(2, 2)), Column("seen", ColumnKind.DATETIME),
               Column("age", ColumnKind.NUMERIC), Column("note", ColumnKind.TEXT))  # fmt: skip
    batch = RelationBatch(app="churn", pillar=Pillar.PRODUCTION, version="v", columns=columns, row_ids=("row-q",),
                          texts=("hi",), tensor=np.arange(4.0), numeric=np.array([60.0, np.nan]))  # fmt: skip
    house.put(DATA_PRODUCTION, batch)
    asked_at = house.clock()
    house.ask(question(expires_at=asked_at + 5, context={"k": "v"}))
    (asked,) = await listed(client, "churn", kind="label")
    assert (asked.app, asked.question, asked.kind, asked.pillar) == ("churn", "q", "label", "production")
    assert (asked.candidates, asked.probabilities) == (("no", "yes"), (0.5, 0.5))
    assert (asked.created_at, asked.expires_at, asked.context) == (asked_at, asked_at + 5, {"k": "v"})
    assert asked.row["photo"] == [[0.0, 1.0], [2.0, 3.0]]
    assert (asked.row["seen"].timestamp(), asked.row["age"], asked.row["note"]) == (60.0, None, "hi")
    with pytest.raises(InvalidDataError):
        list(client.questions(kind="nonsense"))


async def test_all_pages_are_followed(house, client, question, app):
    house.define(replace(app, label_budget=1000))
    house.ask(*(question(f"q{i}") for i in range(120)))
    assert len(await listed(client, "churn")) == 120


async def test_answer_skip_claim_release_and_budget(house, client, question):
    house.ask(question("a"), question("b"), question("c"))
    asked = await listed(client, "churn")
    twice = [await asyncio.to_thread(client.answer, asked[0], 1, annotator="ada", request_id="x") for _ in "12"]
    assert len(set(twice)) == 1
    await asyncio.to_thread(client.answer, "b", "no", app="churn")
    assert [(answer.question, answer.text) for answer in house.answers()] == [("a", "yes"), ("b", "no")]
    claimed = await asyncio.to_thread(client.claim, asked[2], annotator="ada", seconds=9)
    assert claimed.claimed_by == "ada"
    with pytest.raises(ConflictError):
        await asyncio.to_thread(client.claim, asked[2], annotator="bob")
    await asyncio.to_thread(client.release, asked[2], annotator="ada")
    await asyncio.to_thread(client.skip, asked[2], annotator="ada")
    assert await listed(client, annotator="ada") == []
    assert await asyncio.to_thread(client.budget, "churn") == {"modelpicker": Spending(3.0, 2.0, 1, 0)}
    with pytest.raises(InvalidDataError):
        client.answer("b", 0)


async def test_refusals_come_as_our_errors(house, client, question):
    house.ask(*(question(name) for name in "abcd"))
    for name in "abc":
        await asyncio.to_thread(client.answer, name, 0, app="churn")
    with pytest.raises(BudgetExhaustedError) as caught:
        await asyncio.to_thread(client.answer, "d", 0, app="churn")
    assert caught.value.mend
    with pytest.raises(ConflictError) as caught:
        await asyncio.to_thread(client.answer, "a", 0, app="churn")
    assert caught.value.reason == "question_answered"
    with pytest.raises(NotFoundError):
        await asyncio.to_thread(client.budget, "nobody")


async def test_a_service_that_is_away_is_waited_for(house, client, question):
    house.ask(question())
    house.down = True
    answer = asyncio.create_task(asyncio.to_thread(client.answer, "q", 1, app="churn"))
    await asyncio.sleep(0.3)
    assert house.annotations() == []
    house.down = False
    await answer
    assert len(house.annotations()) == 1


def test_patience_ends():
    with LabelClient("127.0.0.1:1", patience=0.2) as client, pytest.raises(UnavailableError) as caught:
        client.budget("churn")
    assert "easeml up" in str(caught.value)


async def test_the_stream_yields_every_question_once(house, client, question):
    house.ask(question("a"))
    stream = client.stream("churn")
    assert (await asyncio.to_thread(next, stream)).question == "a"
    following = asyncio.create_task(asyncio.to_thread(next, stream))
    await asyncio.sleep(0.1)
    house.ask(question("b"))
    assert (await following).question == "b"
    await asyncio.to_thread(stream.close)


async def test_the_oracle_answers_what_it_knows_and_skips_the_rest(house, serve, question, app):
    house.define(replace(app, label_budget=10))
    house.ask(question("before"), question("unknown"), question("foreign"))
    oracle = Oracle(await serve(), "churn", {"row-before": "yes", "row-after": "no", "row-foreign": "perhaps"})
    work = asyncio.create_task(oracle.run())
    await until(lambda: oracle.answered + oracle.skipped == 3)
    house.ask(question("after"))
    await until(lambda: oracle.answered == 2)
    assert {answer.question: answer.text for answer in house.answers()} == {"before": "yes", "after": "no"}
    assert oracle.skipped == 2
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_the_oracle_knows_cells_too_and_gives_what_is_no_candidate(house, serve, question, app):
    plan = Column("plan", ColumnKind.CATEGORICAL, ("basic", "pro"))
    house.define(replace(app, columns=(*app.columns, plan), label_budget=10))
    house.ask(
        question("label"),
        question("chosen", kind=QuestionKind.CELL, column="age", candidates=("30.0", "40.0")),
        question("other", kind=QuestionKind.CELL, column="age", candidates=("30.0", "40.0")),
        question("new", kind=QuestionKind.CELL, column="plan", candidates=("basic", "pro")),
        question("unknown", kind=QuestionKind.CELL, column="plan", candidates=("basic", "pro")),
        question("row", kind=QuestionKind.ROW),
    )
    cells = {("row-chosen", "age"): "40.0", ("row-other", "age"): "35", ("row-new", "plan"): "gold"}
    oracle = Oracle(await serve(), "churn", {"row-label": "yes"}, cells=cells)
    work = asyncio.create_task(oracle.run())
    await until(lambda: oracle.answered + oracle.skipped == 6)
    assert {answer.question: (answer.value, answer.text) for answer in house.answers()} == {
        "label": (1, "yes"), "chosen": (1, "40.0"), "other": (-2, "35.0"), "new": (-2, "gold"),
    }  # fmt: skip
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_a_person_gives_a_candidate_or_another_value(house, client, question):
    cell = question(kind=QuestionKind.CELL, column="age", candidates=("30.0", "40.0"))
    house.ask(cell)
    (asked,) = await asyncio.to_thread(lambda: list(client.questions("churn", kind="cell")))
    for wrong in ({}, {"value": 0, "other": "35"}):
        with pytest.raises(InvalidDataError, match="Give one of the two"):
            client.answer(asked, **wrong)
    await asyncio.to_thread(client.answer, asked, other="35")
    assert [(answer.value, answer.text) for answer in house.answers()] == [(-2, "35.0")]


async def test_the_oracle_finds_a_service_that_moved_and_answers_nothing_twice(house, serve, question, app):
    house.define(replace(app, label_budget=100))
    names = [f"q{i}" for i in range(12)]
    addresses = ["127.0.0.1:1"]
    oracle = Oracle(lambda: addresses[-1], "churn", {f"row-{name}": "yes" for name in names})
    work = asyncio.create_task(oracle.run())
    for start in range(0, 12, 4):
        house.down = start == 4
        house.ask(*map(question, names[start : start + 4]))
        addresses.append(await serve())
        if start == 4:
            await asyncio.sleep(0.2)
            house.down = False
        await until(lambda: oracle.answered == start + 4)  # noqa: B023 - awaited within this round
        await serve.servers[-1].stop()
    assert len(house.annotations()) == len(house.answers()) == oracle.answered == 12
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_the_oracle_asks_again_what_became_of_an_answer(house, serve, question):
    house.ask(question("a"))
    publish = house.publish

    async def publish_and_break(*arguments, **options):
        await publish(*arguments, **options)
        house.publish = publish
        raise UnavailableError("The connection broke after the broker had it.")

    house.publish = publish_and_break
    oracle = Oracle(await serve(), "churn", {"row-a": "yes"})
    work = asyncio.create_task(oracle.run())
    await until(lambda: oracle.answered == 1)
    assert len(house.annotations()) == len(house.answers()) == 1
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_the_oracle_waits_for_budget_and_leaves_to_others_what_they_answered(house, serve, question, app):
    house.ask(*map(question, "abcde"))
    oracle = Oracle(await serve(), "churn", {f"row-{name}": "yes" for name in "abcde"})
    work = asyncio.create_task(oracle.run())
    await until(lambda: oracle.answered == 3)
    house.define(replace(app, label_budget=5))
    house.cluster.tick()
    await until(lambda: oracle.answered == 5)
    assert len(house.answers()) == 5
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_an_oracle_that_is_not_let_in_says_so(serve):
    oracle = Oracle(await serve(token="secret"), "churn", {}, token="wrong")
    with pytest.raises(PermissionDeniedError):
        await asyncio.wait_for(oracle.run(), 20)


def test_the_oracle_works_in_a_thread_and_stops():
    with Oracle("127.0.0.1:1", "churn", {}) as oracle:
        assert oracle.answered == 0


def test_errors_of_strangers_are_translated_too():
    class Call(grpc.RpcError):
        def code(self):
            return grpc.StatusCode.INTERNAL

        def details(self):
            return "boom"

        def trailing_metadata(self):
            return ()

    from easeml.labels.status import error_of

    error = error_of(Call())
    assert type(error) is EaseMLError
    assert "boom" in str(error)
