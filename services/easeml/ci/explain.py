"""A plan in words for people who have never heard of sample sizes: questions, answers and two small tables."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, replace

from easeml.ci.language import Clause, Condition
from easeml.ci.planning import Plan, most_changed, plan

RELIABILITIES = (0.9, 0.95, 0.99, 0.999, 0.9999)


@dataclass(frozen=True, slots=True)
class Answer:
    """One question a reader has, and what there is to say.

    Attributes
    ----------
    question : str
    text : tuple of str
        Paragraphs.
    table : tuple of tuple of str
        A heading and rows, or nothing.
    """

    question: str
    text: tuple[str, ...]
    table: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """The agreement that a plan is about; see :func:`easeml.ci.plan`."""

    condition: Condition
    reliability: float
    steps: int
    adaptivity: str = "full"
    mode: str = "fp-free"
    disagreement: float | None = None
    passes: int | None = None

    def plan(self) -> Plan:
        """Return its plan."""
        return plan(
            self.condition,
            reliability=self.reliability,
            steps=self.steps,
            adaptivity=self.adaptivity,
            mode=self.mode,
            disagreement=self.disagreement,
            passes=self.passes,
        )


def explained(protocol: Protocol) -> tuple[Answer, ...]:
    """Return the page of a plan, question by question.

    Raises
    ------
    ConfigurationError
        For an argument out of range.
    """
    found = protocol.plan()
    return (
        _what(protocol),
        _how_many(protocol, found),
        _why(protocol, found),
        _reliability(protocol, found),
        _feedback(protocol),
        _end(protocol, found),
        _meaning(protocol),
    )


def _names(clause: Clause) -> str:
    words = ("the new model's accuracy", "the old model's accuracy", "the share of predictions that changed")
    parts: list[str] = []
    for factor, word in zip(clause.coefficients, words, strict=True):
        if factor:
            sign = "minus " if factor < 0 else ("plus " if parts else "")
            times = "" if abs(factor) == 1 else f"{abs(factor):g} times "
            parts.append(f"{sign}{times}{word}")
    where = f", among the examples {_where(clause.slice)}," if clause.slice else ""
    told = " ".join(parts) + where
    return told[0].upper() + told[1:]


def _where(name: str) -> str:
    return f"where {name.replace('=', ' is ')}"


def _what(protocol: Protocol) -> Answer:
    doubt = "not let through" if protocol.mode == "fp-free" else "let through"
    rules = tuple(
        f"{_names(clause)} must be {'above' if clause.above else 'below'} {clause.threshold:g}. The test tells "
        f"{clause.threshold:g} from what is {clause.tolerance:g} away; a model that is nearer to {clause.threshold:g} "
        f"may stay undecided, and is {doubt}."
        for clause in protocol.condition.clauses
    )
    return Answer(
        "What is tested?",
        (
            (
                f"A new model may replace the old one if the condition {protocol.condition.text} holds. In words, "
                "where accuracy is the share of right answers:"
            ),
            *rules,
        ),
    )


def _how_many(protocol: Protocol, found: Plan) -> Answer:
    if not found.labels_worst:
        return Answer(
            "How many labels are needed?",
            (f"None: predictions alone decide. {_examples(protocol, found)}",),
        )
    paired = not any(clause.needs_agreements for clause in protocol.condition.clauses)
    text = [
        (
            "A label is the right answer for one example, which a person gives; examples alone, without labels, are "
            f"cheap. One decision takes at most {found.labels_worst:,} labels, in the hardest case: the new model lies "
            f"exactly at the limit. It takes about {found.labels_expected:,} when the new model is beyond the limit by "
            "twice the tolerance, the number after +/-. Labelling stops as soon as the decision is clear."
        ),
        _examples(protocol, found),
    ]
    if paired:
        text[1] += (
            " Where both models say the same, a label cannot tell which is better, so people label only examples on "
            f"which they disagree: usually a small part. {_share(protocol)}"
        )
    text.append(
        "A label that was bought for one model is used again for the next ones, so later decisions cost less, and no "
        f"example is ever labelled twice. For comparison: the rule of textbooks asks for {found.reference:,} labelled "
        "examples."
    )
    return Answer("How many labels are needed?", tuple(text))


def _examples(protocol: Protocol, found: Plan) -> str:
    """Return how large the test set should be, and each slice in it."""
    named = protocol.condition.slices
    if not named:
        return f"The test set should hold {found.unlabelled:,} examples."
    each = " and ".join(f"{found.unlabelled:,} examples {_where(name)}" for name in named)
    return f"The test set should hold at least {each}; with all others it is larger."


def _share(protocol: Protocol) -> str:
    """Return on how many examples the models are taken to disagree, and what it would cost if they were fewer."""
    if protocol.disagreement:
        return f"These figures take them to disagree on {protocol.disagreement:.0%} of the examples."
    if (most := most_changed(protocol.condition)) < 1:
        return f"The condition lets at most about {most:.0%} of them differ, which these figures take for granted."
    few = replace(protocol, disagreement=0.1).plan()
    return (
        "Nobody said how often that is, so these figures take the worst case: models that disagree everywhere. Models "
        f"that disagree on one example in ten can differ less, which is easier to measure: at most "
        f"{few.labels_worst:,} labels, about {few.labels_expected:,} in clear cases, of {few.unlabelled:,} examples."
    )


def _why(protocol: Protocol, found: Plan) -> Answer:
    wrong, right = 1 - protocol.reliability, _sure_outcome(protocol)
    models = _models(protocol.steps)
    shared = f" The chance of a mistake is shared among {models}, and a smaller share takes more labels."
    shared = shared if protocol.steps > 1 else ""
    limit = "" if protocol.passes is None else f" in which at most {protocol.passes:,} passed"
    told = {
        "none": (
            f"Nobody learns a result before all models are handed in, so none can be suited to this test set.{shared}"
        ),
        "first_change": f"The first model that passes ends the test set, so none after it can be suited to it.{shared}",
        "full": (
            "After each model developers know whether it passed or failed, and without wishing to they may come to "
            "suit the next one to this very test set. So what is promised must hold whatever they see on the way: "
            f"{_count(found.histories)} different lists of passes and fails{limit} are possible for {models}. "
            "The chance of a mistake is shared among all of them, and a smaller share takes more labels."
        ),
    }[protocol.adaptivity]
    return Answer(
        "Why so many?",
        (
            (
                "A test set is a sample, like the people asked in a poll: its accuracy is near the true one, never "
                "exactly it. Two things make the sample grow. First, the tolerance: half of it needs about four times "
                f"the labels. Second, being sure: with a reliability of {_sure(protocol.reliability)}, the chance that "
                f"any {right} is wrong may be 1 - {_sure(protocol.reliability)} = {wrong:.3g} at most, for {models} "
                "judged on the same examples taken together."
            ),
            told,
        ),
    )


def _sure_outcome(protocol: Protocol) -> str:
    return "pass" if protocol.mode == "fp-free" else "fail"


def _models(steps: int) -> str:
    return "one model" if steps == 1 else f"{steps:,} models"


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**12 else f"{float(number):.1e}" if number < 10**300 else "more than 1e300"


def _figures(found: Plan) -> tuple[str, str, str]:
    return f"{found.labels_worst:,}", f"{found.labels_expected:,}", f"{found.unlabelled:,}"


def _head(first: str, protocol: Protocol) -> tuple[str, ...]:
    return first, "labels at most", "labels when clear", f"examples {_counted(protocol)}"


def _counted(protocol: Protocol) -> str:
    return "per slice" if protocol.condition.slices else "in all"


def _sure(reliability: float) -> str:
    """Return a probability with as many digits as tell it from 1.

    >>> _sure(0.95), _sure(0.99999969)
    ('0.95', '0.99999969')
    """
    return f"{1 - float(f'{1 - reliability:.2g}'):.12g}"


def _one_in(wrong: float) -> str:
    """Return a chance as a count of test sets that people can picture.

    >>> _one_in(0.05), _one_in(0.001), _one_in(0.0025)
    ('5 of 100', '1 of 1,000', '2.5 of 1,000')
    """
    whole = max(100, 10 ** math.ceil(-math.log10(wrong) - 1e-9))
    return f"{round(wrong * whole, 6):g} of {whole:,}"


def _reliability(protocol: Protocol, found: Plan) -> Answer:
    rows, right = [], _sure_outcome(protocol)
    for value in sorted({*RELIABILITIES, protocol.reliability}):
        mark = " (this plan)" if value == protocol.reliability else ""
        rows.append((f"{_sure(value)}{mark}", *_figures(replace(protocol, reliability=value).plan())))
    higher = next((value for value in RELIABILITIES if value > protocol.reliability), None)
    text = (
        f"Reliability is the chance that no {right} on this test set is wrong: with {_sure(protocol.reliability)}, at "
        f"most {_one_in(1 - protocol.reliability)} such test sets would ever give a wrong {right}. More of it costs "
        "surprisingly little: a few labels more make a wrong decision far rarer."
    )
    if higher is not None and found.labels_worst:
        more = replace(protocol, reliability=higher).plan().labels_worst
        text += (
            f" With {higher:g} in its place: at most {more:,} labels instead of {found.labels_worst:,}, "
            f"{more / found.labels_worst - 1:.0%} more."
        )
    return Answer(
        "What if the reliability changes?",
        (text,),
        (_head("reliability", protocol), *rows),
    )


def _feedback(protocol: Protocol) -> Answer:
    full = replace(protocol, adaptivity="full", passes=None)
    ways = [
        ("each result at once", full),
        *([("each result at once; 3 passes end the test set", replace(full, passes=3))] if protocol.steps > 3 else []),
        ("each result at once; the first pass ends the test set", replace(full, adaptivity="first_change")),
        ("no result before the last model is handed in", replace(full, adaptivity="none")),
    ]
    rows = tuple((name, *_figures(way.plan())) for name, way in ways)
    text = []
    if (half := protocol.steps // 2) > 0:
        fewer = replace(protocol, steps=half, passes=protocol.passes and min(protocol.passes, half))
        text.append(f"With half as many models ({half:,}): at most {fewer.plan().labels_worst:,} labels.")
    text.append(
        f"For {_models(protocol.steps)}, by what developers get to know while the test set is in use. In the last two "
        "rows it is least: as long as more models are judged, they know only that none has passed, or nothing at all. "
        "To that no model can be suited, so fewer labels are enough:"
    )
    return Answer(
        "What if developers learn less, or fewer models are judged?",
        tuple(text),
        (_head("developers know", protocol), *rows),
    )


def _end(protocol: Protocol, found: Plan) -> Answer:
    until = f"After {_models(protocol.steps)}"
    if protocol.adaptivity == "first_change":
        until += ", or after the first one that passes,"
    elif protocol.passes is not None:
        until += f", or after {protocol.passes:,} passes,"
    return Answer(
        "What happens at the end of the test set?",
        (
            (
                f"{until} the test set is used up: an alarm says so, and no further model is judged on it, for the "
                f"chance of a wrong {_sure_outcome(protocol)} would grow above what was promised. Fresh examples, "
                f"{found.unlabelled:,} {_counted(protocol)}, open the next test set, which starts counting anew; again "
                "only some of them need labels. The old ones may then be given to the developers, to train and to look "
                "at. Changing the condition or the reliability in between needs fresh examples too."
            ),
        ),
    )


def _meaning(protocol: Protocol) -> Answer:
    sure = _sure(protocol.reliability)
    if protocol.mode == "fp-free":
        text = (
            (
                "A pass means that the condition truly holds, not only on the test set: with probability at least "
                f"{sure} every pass ever given on this test set is right."
            ),
            (
                "A fail means that the condition could not be shown. The model may be worse, or too close to the "
                "limit to tell: a model that stays undecided does not pass, for when in doubt, this plan rejects."
            ),
        )
    else:
        text = (
            (
                f"A fail means that the condition truly does not hold: with probability at least {sure} every fail "
                "ever given on this test set is right."
            ),
            (
                "A pass means that the condition could not be refuted. The model may be good, or too close to the "
                "limit to tell: a model that stays undecided passes, for when in doubt, this plan accepts."
            ),
        )
    return Answer(
        "What does a pass mean?",
        (*text, "Both hold for data like the test examples; when the data change, they promise nothing."),
    )


def as_text(answers: tuple[Answer, ...]) -> str:
    """Return the page for a terminal, a blank line between questions."""
    blocks = []
    for answer in answers:
        lines = [answer.question, *(f"  {paragraph}" for paragraph in answer.text)]
        widths = [max(map(len, column)) for column in zip(*answer.table, strict=True)]
        for row in answer.table:
            cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
            lines.append("    " + "   ".join(cells))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_markdown(answers: tuple[Answer, ...]) -> str:
    """Return the page as Markdown, e.g. for a repository or a pull request."""
    blocks = []
    for answer in answers:
        blocks += [f"## {answer.question}", *answer.text]
        if answer.table:
            head, *rows = (f"| {' | '.join(row)} |" for row in answer.table)
            blocks.append("\n".join([head, "|---|" + "---:|" * (len(answer.table[0]) - 1), *rows]))
    return "\n\n".join(blocks) + "\n"


def as_html(answers: tuple[Answer, ...]) -> str:
    """Return the page's body: headings, paragraphs, tables."""
    parts = []
    for answer in answers:
        parts.append(f"<h2>{html.escape(answer.question)}</h2>")
        parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in answer.text]
        if answer.table:
            head, *rows = (tuple(map(html.escape, row)) for row in answer.table)
            body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
            parts.append(f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{body}</table>")
    return "".join(parts)


__all__ = ["Answer", "Protocol", "as_html", "as_markdown", "as_text", "explained"]
