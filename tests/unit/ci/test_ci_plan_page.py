"""The page of a plan: what a reader who knows no statistics finds on it, held to the figures of the plan.

The five questions that every reader must be able to answer from the page alone: how many labels, why, what if the
reliability changes, what happens at the end of the test set, and what a pass means.
"""

from __future__ import annotations

import html
from dataclasses import replace

import pytest

from easeml.ci import parse
from easeml.ci.explain import Answer, Protocol, as_html, as_markdown, as_text, explained

GAIN = Protocol(parse("n - o > 0.02 +/- 0.02"), 0.95, 8)


def answers(protocol: Protocol) -> dict[str, str]:
    return {answer.question: " ".join(answer.text) for answer in explained(protocol)}


def test_how_many_labels():
    found, few = GAIN.plan(), replace(GAIN, disagreement=0.1).plan()
    told = answers(GAIN)["How many labels are needed?"]
    assert f"One decision takes at most {found.labels_worst:,} labels, in the hardest case" in told
    assert f"about {found.labels_expected:,} when the new model is beyond the limit by twice the tolerance" in told
    assert "A label is the right answer for one example, which a person gives;" in told
    assert f"The test set should hold {found.unlabelled:,} examples." in told
    assert "disagree on one example in ten" in told
    assert f"at most {few.labels_worst:,} labels, about {few.labels_expected:,} in clear cases" in told
    assert f"of {few.unlabelled:,} examples" in told
    assert f"the rule of textbooks asks for {found.reference:,} labelled examples" in told
    known = answers(replace(GAIN, disagreement=0.1))["How many labels are needed?"]
    assert f"takes at most {few.labels_worst:,} labels" in known
    assert "take them to disagree on 10% of the examples" in known


def test_why_so_many():
    told = answers(GAIN)["Why so many?"]
    assert "A test set is a sample, like the people asked in a poll" in told
    assert "the tolerance: half of it needs about four times the labels" in told
    half = replace(GAIN, condition=parse("n - o > 0.02 +/- 0.01")).plan().labels_worst
    assert 3.5 < half / GAIN.plan().labels_worst < 4.5
    assert "with a reliability of 0.95, the chance that any pass is wrong may be 1 - 0.95 = 0.05 at most" in told
    assert "for 8 models judged on the same examples taken together" in told
    assert f"{GAIN.plan().histories} different lists of passes and fails are possible for 8 models" in told
    assert GAIN.plan().histories == 2**8
    kept = answers(replace(GAIN, adaptivity="none"))["Why so many?"]
    assert "The chance of a mistake is shared among 8 models" in kept
    few = replace(GAIN, passes=1)
    assert (
        "9 different lists of passes and fails in which at most 1 passed are possible" in answers(few)["Why so many?"]
    )


def test_what_if_the_reliability_changes():
    (answer,) = [one for one in explained(GAIN) if one.question == "What if the reliability changes?"]
    more, now = (replace(GAIN, reliability=value).plan().labels_worst for value in (0.99, 0.95))
    told = " ".join(answer.text)
    assert "with 0.95, at most 5 of 100 such test sets would ever give a wrong pass" in told
    assert f"With 0.99 in its place: at most {more:,} labels instead of {now:,}, {more / now - 1:.0%} more." in told
    for row in answer.table[1:]:
        other = replace(GAIN, reliability=float(row[0].split()[0])).plan()
        assert row[1:] == (f"{other.labels_worst:,}", f"{other.labels_expected:,}", f"{other.unlabelled:,}")
    assert [row[0] for row in answer.table if "this plan" in row[0]] == ["0.95 (this plan)"]
    assert "1 of 1,000" in answers(replace(GAIN, reliability=0.999))["What if the reliability changes?"]


@pytest.mark.parametrize(
    ("change", "until"),
    [
        ({}, "After 8 models the test set is used up"),
        ({"adaptivity": "first_change"}, "After 8 models, or after the first one that passes, the test set is used up"),
        ({"passes": 3}, "After 8 models, or after 3 passes, the test set is used up"),
        ({"steps": 1}, "After one model the test set is used up"),
    ],
)
def test_what_happens_at_the_end_of_the_test_set(change, until):
    protocol = replace(GAIN, **change)
    told = answers(protocol)["What happens at the end of the test set?"]
    assert told.startswith(until)
    assert "an alarm says so, and no further model is judged on it" in told
    assert f"Fresh examples, {protocol.plan().unlabelled:,} in all, open the next test set" in told
    assert "The old ones may then be given to the developers" in told
    assert "Changing the condition or the reliability in between needs fresh examples too." in told


@pytest.mark.parametrize(
    ("mode", "sure", "doubt"),
    [("fp-free", "A pass", "this plan rejects"), ("fn-free", "A fail", "this plan accepts")],
)
def test_what_a_pass_means(mode, sure, doubt):
    told = answers(replace(GAIN, mode=mode))["What does a pass mean?"]
    assert f"{sure} means that the condition truly" in told
    assert f"with probability at least 0.95 every {sure.split()[1]} ever given on this test set is right" in told
    assert "too close to the limit to tell: a model that stays undecided" in told
    assert f"when in doubt, {doubt}" in told
    assert ("and is not let through" in answers(replace(GAIN, mode=mode))["What is tested?"]) == (mode == "fp-free")
    assert "when the data change, they promise nothing" in told


def test_a_slice_needs_as_many_examples_of_its_own():
    sliced = replace(GAIN, condition=parse("n - o > 0 +/- 0.1 and n[country=CH] - o[country=CH] > 0 +/- 0.1"))
    found = sliced.plan()
    told = answers(sliced)["How many labels are needed?"]
    assert (
        f"should hold at least {found.unlabelled:,} examples where country is CH; with all others it is larger" in told
    )
    (answer,) = [one for one in explained(sliced) if one.question == "What if the reliability changes?"]
    assert answer.table[0][3] == "examples per slice"
    ended = answers(sliced)["What happens at the end of the test set?"]
    assert f"Fresh examples, {found.unlabelled:,} per slice, open the next test set" in ended
    alone = replace(GAIN, condition=parse("n - o > 0 +/- 0.1")).plan()
    assert found.labels_worst > 2 * alone.labels_worst, "a slice is labelled besides the whole, with half of the error"


def test_every_form_tells_the_same():
    page = explained(GAIN)
    text, markdown, shown = as_text(page), as_markdown(page), html.unescape(as_html(page))
    for answer in page:
        assert f"## {answer.question}\n" in markdown
        for part in (answer.question, *answer.text, *(cell for row in answer.table for cell in row)):
            assert part in text
            assert part in markdown
            assert part in shown
    table = as_markdown((Answer("q", ("t",), (("a", "b"), ("c", "d"))),))
    assert table == "## q\n\nt\n\n| a | b |\n|---|---:|\n| c | d |\n"


@pytest.mark.parametrize("adaptivity", ["full", "none", "first_change"])
@pytest.mark.parametrize("mode", ["fp-free", "fn-free"])
def test_the_plan_page_tells_the_plan(adaptivity, mode):
    condition = parse("n[country=CH] > 0.8 +/- 0.05 and 0.5 * n - 0.5 * o > 0.02 +/- 0.02")
    protocol = Protocol(condition, 0.99, 8, adaptivity, mode, disagreement=0.2)
    figures = protocol.plan()
    text = as_text(explained(protocol))
    for figure in (figures.labels_worst, figures.labels_expected, figures.unlabelled, figures.reference):
        assert f"{figure:,}" in text
    assert "among the examples where country is CH" in text
    assert "0.5 times the new model's accuracy minus 0.5 times the old model's" in text
    assert ("when in doubt, this plan rejects" in text) == (mode == "fp-free")
    assert "<td>0.99 (this plan)</td>" in as_html(explained(protocol))


def test_a_plan_of_predictions_alone_says_so():
    assert "None: predictions alone decide" in as_text(explained(Protocol(parse("d < 0.1 +/- 0.05"), 0.9, 1)))


def test_a_limit_on_changes_is_what_the_figures_take():
    told = answers(replace(GAIN, condition=parse("d < 0.1 +/- 0.05 and n - o > 0.02 +/- 0.02")))
    assert "lets at most about 20% of them differ" in told["How many labels are needed?"]
    assert "worst case" not in told["How many labels are needed?"]


def test_a_reliability_that_pays_for_the_meter_too_is_not_called_certainty():
    told = answers(replace(GAIN, reliability=0.99999969))
    assert "with 0.99999969, at most 3.1 of 10,000,000 such" in told["What if the reliability changes?"]
    assert "with probability at least 0.99999969 every pass" in told["What does a pass mean?"]
    assert "in its place" not in told["What if the reliability changes?"]
