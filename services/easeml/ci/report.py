"""What happened on a test set, for people and pipelines: JSON, Markdown, JUnit XML, HTML.

Developers get the bit per model and nothing else, because every further symbol would be a leak that the plan
does not pay for; intervals, label counts and alarms are for the owner of the test set.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

from easeml.ci.evaluation import Verdict
from easeml.ci.ledger import TestSetLedger

_WORDS = {"PASSED": "the condition holds", "FAILED": "the condition does not hold", "UNDECIDED": "too close to tell"}


def facts(ledger: TestSetLedger, *, owner: bool) -> dict[str, Any]:
    """Return the report as JSON-able values.

    Parameters
    ----------
    ledger : TestSetLedger
    owner : bool
        Whether the reader owns the test set and may see more than the bits.
    """
    found: dict[str, Any] = {
        "condition": ledger.condition.text,
        "reliability": ledger.reliability,
        "steps": ledger.steps,
        "steps_used": ledger.steps_used,
        "adaptivity": ledger.adaptivity,
        "mode": ledger.mode,
        "passes": ledger.passes,
        "baseline": ledger.baseline,
        "closed": ledger.closed,
        "verdicts": [_verdict(verdict, owner=owner) for verdict in ledger.verdicts],
    }
    if owner:
        found |= {"examples": ledger.n, "labels_bought": ledger.labels_bought}
    return found


def _verdict(verdict: Verdict, *, owner: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"model": verdict.model_id, "passed": verdict.signal}
    if owner:
        known = verdict.to_dict()
        found |= {name: known[name] for name in known if name not in ("model_id", "signal", "clauses")}
        found["clauses"] = [
            {"clause": clause.text, "truth": clause.truth, "interval": _ends(clause.interval)}
            for clause in verdict.clauses
        ]
    return found


def _ends(interval: Any) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def as_json(ledger: TestSetLedger, *, owner: bool) -> str:
    """Return the report as JSON."""
    return json.dumps(facts(ledger, owner=owner), indent=2) + "\n"


def _rows(ledger: TestSetLedger, *, owner: bool) -> list[tuple[str, ...]]:
    head = ("model", "result", "because", "labels", "of them new", "alarm") if owner else ("model", "result")
    rows: list[tuple[str, ...]] = [head]
    for verdict in ledger.verdicts:
        row: tuple[str, ...] = (verdict.model_id, "passed" if verdict.signal else "rejected")
        if owner:
            new = verdict.labels_used - verdict.labels_reused
            row += (_because(verdict), f"{verdict.labels_used:,}", f"{new:,}", verdict.alarm or "")
        rows.append(row)
    return rows


def _because(verdict: Verdict) -> str:
    known = [
        f"{clause.text}: {clause.truth.lower()}"
        + (f", in [{clause.interval.low:.4f}, {clause.interval.high:.4f}]" if clause.interval else "")
        for clause in verdict.clauses
    ]
    return "; ".join([_WORDS[verdict.outcome], *known])


def _summary(ledger: TestSetLedger) -> str:
    left = ledger.steps - ledger.steps_used
    state = f"closed ({ledger.closed})" if ledger.closed else f"{left:,} of {ledger.steps:,} evaluations left"
    return f"reliability {ledger.reliability:g}, {ledger.adaptivity}, {ledger.mode}; test set: {state}"


def as_markdown(ledger: TestSetLedger, *, owner: bool) -> str:
    """Return the report as Markdown, e.g. for a job's summary or a pull request."""
    rows = [tuple(cell.replace("|", "\\|") for cell in row) for row in _rows(ledger, owner=owner)]
    lines = [f"### `{ledger.condition.text}`", "", _summary(ledger), ""]
    lines += ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(row) + " |" for row in rows[1:]]
    return "\n".join(lines) + "\n"


def as_html(ledger: TestSetLedger, *, owner: bool) -> str:
    """Return the report as the body of a page."""
    head, *rows = (tuple(map(html.escape, row)) for row in _rows(ledger, owner=owner))
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{body}</table>"
    text = html.escape(ledger.condition.text)
    return f"<p><code>{text}</code></p><p>{html.escape(_summary(ledger))}</p>{table}"


def as_junit(ledger: TestSetLedger, *, owner: bool) -> str:
    """Return the report as JUnit XML: a test case per model, a rejected one is a failure."""
    verdicts = ledger.verdicts
    rejected = sum(not verdict.signal for verdict in verdicts)
    numbers = {"tests": str(len(verdicts)), "failures": str(rejected), "errors": "0"}
    root = ET.Element("testsuites", numbers)
    suite = ET.SubElement(root, "testsuite", {"name": f"easeml ci: {ledger.condition.text}", **numbers})
    for verdict in verdicts:
        case = ET.SubElement(suite, "testcase", {"classname": "easeml.ci", "name": verdict.model_id})
        if not verdict.signal:
            told = _because(verdict) if owner else "rejected"
            ET.SubElement(case, "failure", {"message": f"{ledger.condition.text}: rejected"}).text = told
        elif owner:
            ET.SubElement(case, "system-out").text = _because(verdict)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


FORMATS: dict[str, Callable[..., str]] = {
    "json": as_json,
    "markdown": as_markdown,
    "junit": as_junit,
    "html": as_html,
}
"""Renderer by name; each takes the ledger and ``owner``."""

__all__ = ["FORMATS", "as_html", "as_json", "as_junit", "as_markdown", "facts"]
