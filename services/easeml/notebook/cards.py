"""What an app knows, drawn for a notebook: one HTML element each, without scripts, that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from easeml.appearance import card

_STYLE = card(
    "easeml-n",
    "--g:#13652a;--w:#7a4f00;--e:#a8151d;--c1:#0969da;--c2:#bc4c00;--c3:#1a7f37;--c4:#8250df",
    "--g:#62cf80;--w:#e6b84a;--e:#ff8f87;--c1:#58a6ff;--c2:#f0883e;--c3:#56d364;--c4:#bc8cff",
    ".card h4{margin:0 0 4px;font-size:14px}.card p{margin:0 0 6px}.card .good{color:var(--g)}"
    ".card .warn{color:var(--w)}.card .bad{color:var(--e)}"
    ".card svg{display:block;width:100%;max-width:640px;height:auto;font:12px system-ui,sans-serif}",
)
_WIDTH, _HEIGHT, _LEFT, _FOOT = 640, 220, 52, 24
_LINES = 4
_ROWS = 30
_TONES = {
    "realistic": "good",
    "unrealistic": "bad",
    "undecided": "warn",
    "passed": "good",
    "baseline": "warn",
    "not passed": "bad",
    "retired": "bad",
    "done": "good",
    "attention": "warn",
}

Line = tuple[str, Sequence[float], Sequence[float]]
"""Name, places and heights of a line of a chart."""


@dataclass(frozen=True)
class Card:
    """Something an app knows.

    Parameters
    ----------
    title, text : str
        What it is, and what it says in one sentence.
    facts : dict
        The same for programs: values that JSON knows.
    columns, rows : sequence
        Table below it; texts.
    lines : sequence of Line
        Chart above the table.
    level : float, optional
        Height of a line across the chart.
    """

    title: str
    text: str
    facts: dict[str, Any] = field(repr=False)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    lines: Sequence[Line] = ()
    level: float | None = None

    def _repr_html_(self) -> str:
        chart = drawn(self.lines, self.level, self.title) if any(len(x) > 1 for _, x, _ in self.lines) else ""
        return (
            f'<div class="easeml-n"><style>{_STYLE}</style><h4>{escape(self.title)}</h4><p>{escape(self.text)}</p>'
            f"{chart}{_table(self.columns, self.rows)}</div>"
        )

    def __repr__(self) -> str:
        lines = [f"{self.title}: {self.text}", *("  ".join(row) for row in self.rows[:_ROWS])]
        return "\n".join(lines)


def journey(told: dict[str, Any]) -> Card:
    """Return the card of ``dashboard.journey``."""
    rows = [[step["title"], step["state"], step["headline"], step["do"]] for step in told["steps"]]
    advice = [one["title"] for one in told["advice"] if not one["idle"]]
    done = sum(step["state"] == "done" for step in told["steps"])
    text = f"{done} of {len(rows)} steps done. " + (f"Advised: {advice[0]}." if advice else "Nothing is advised now.")
    return Card(f"{told['app']}: the eight steps", text, told, ("step", "state", "what", "to do"), rows)


def feasibility(app: str, study: dict[str, Any] | None) -> Card:
    """Return the card of a study of ``dashboard.feasibility``; None: there is none yet."""
    title = f"{app}: what is possible"
    if study is None:
        return Card(title, "Begins with the first training rows.", {})
    text = (
        f"A target of {study['target']:.1%} is {study['signal']}: the best possible accuracy is about "
        f"{study['best']:.1%} ({study['best_low']:.1%} to {study['best_high']:.1%}), from {study['rows']:,} rows"
        f"{'' if study['final'] else '; the study goes on'}."
    )
    curves = study["curves"]
    rows = [
        [arm["transformation"], arm["state"], f"{arm['share']:.0%}", _percent(arm["accuracy"])]
        for arm in curves[:_ROWS]
    ]
    lines = [(arm["transformation"], arm["rows"], arm["accuracies"]) for arm in curves[:_LINES]]
    return Card(title, text, study, ("transformation", "state", "read", "accuracy"), rows, lines, study["target"])


def models(app: str, told: dict[str, Any]) -> Card:
    """Return the card of ``dashboard.learning.models``."""
    found = sorted(told["models"], key=lambda one: -(one["accuracy"] or 0.0))
    rows = [
        [
            one["model"],
            one["algorithm"],
            _percent(one["accuracy"]),
            one["verdict"] + (", served" if one["served"] else ""),
        ]
        for one in found[:_ROWS]
    ]
    best = f"; the best reaches {_percent(found[0]['accuracy'])} of the validation rows" if found else ""
    text = f"{told['count']:,} models, {len(told['running'])} in training{best}."
    stream = [(one["best"], one["accuracy"]) for one in told["models"]]
    places = list(range(1, len(stream) + 1))
    lines = [
        ("best so far", places, [best for best, _ in stream]),
        ("each model", places, [own or 0.0 for _, own in stream]),
    ]
    return Card(
        f"{app}: models", text, told, ("model", "algorithm", "accuracy", "verdict"), rows, lines, told["target"]
    )


def verdicts(app: str, told: dict[str, Any]) -> Card:
    """Return the card of ``dashboard.verdicts``."""
    found = told["verdicts"][::-1]
    passed = sum(one["signal"] for one in found)
    text = f"{passed} of {len(found)} models passed {told['condition']} (reliability {told['reliability']:g})"
    text += f"; {told['waiting']} wait." if told["waiting"] else "."
    rows = [[one["model"], one["verdict"], one["baseline"] or ""] for one in found[:_ROWS]]
    return Card(f"{app}: verdicts", text, told, ("model", "verdict", "compared with"), rows)


def picks(app: str, told: dict[str, Any]) -> Card:
    """Return the card of ``dashboard.learning.picker``."""
    found = told["picks"]
    if not found:
        return Card(f"{app}: picks", "Begins when a model has passed.", told)
    last = found[-1]
    belief = "" if last["belief"] is None else f" with belief {last['belief']:.0%}"
    text = (
        f"{last['model']} is served{belief}, after {last['rows']:,} production rows and {told['spent']:g} of "
        f"{told['granted']:g} labels."
    )
    rows = [
        [
            str(one["period"]),
            one["model"],
            _percent(one["belief"]),
            f"{one['labels']:,}",
            f"{one['rows']:,}",
            "yes" if one["drift"] else "",
        ]
        for one in found[::-1][:_ROWS]
    ]
    places = [one["period"] for one in found]
    lines = [(one["model"], places, one["belief"]) for one in told["lines"][:_LINES]]
    columns = ("period", "model", "belief", "labels", "rows", "drift")
    return Card(f"{app}: picks", text, told, columns, rows, lines)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{_TONES.get(text.partition(",")[0], "")}">{escape(text)}</td>' for text in row)
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in columns)
    return f'<div class="s"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def drawn(lines: Sequence[Line], level: float | None, title: str) -> str:
    """Return lines as a chart: an SVG element with its legend.

    Parameters
    ----------
    lines : sequence of Line
        At most four are drawn; those of one point are left out.
    level : float, optional
        A dashed line at this height.
    title : str
        For those who listen to the page.
    """
    shown = [line for line in lines[:_LINES] if len(line[1]) > 1]
    xs = [x for _, places, _ in shown for x in places]
    ys = [y for _, _, heights in shown for y in heights] + ([] if level is None else [level])
    left, wide, low = min(xs), (max(xs) - min(xs)) or 1.0, min(ys)
    tall = (max(ys) - low) or 1.0

    def at(x: float, y: float) -> str:
        across = _LEFT + (x - left) / wide * (_WIDTH - _LEFT - 12)
        return f"{across:.1f},{8 + (low + tall - y) / tall * (_HEIGHT - _FOOT - 16):.1f}"

    def mark(y: float) -> str:
        _, down = at(left, y).split(",")
        return f'<text x="{_LEFT - 6}" y="{float(down) + 4:.1f}" text-anchor="end" fill="var(--d)">{y:.0%}</text>'

    paths = "".join(
        f'<polyline fill="none" stroke="var(--c{place})" stroke-width="2" points="'
        + " ".join(at(x, y) for x, y in zip(places, heights, strict=True))
        + '"/>'
        for place, (_, places, heights) in enumerate(shown, 1)
    )
    goal = (
        ""
        if level is None
        else f'<polyline stroke="var(--d)" stroke-dasharray="5 4" points="{at(left, level)} {at(left + wide, level)}"/>'
    )
    foot = "".join(
        f'<text x="{x}" y="{_HEIGHT - 6}" text-anchor="{anchor}" fill="var(--d)">{value:,.0f}</text>'
        for x, anchor, value in ((_LEFT, "start", left), (_WIDTH - 12, "end", left + wide))
    )
    legend = " ".join(
        f'<span style="color:var(--c{place})">■</span> {escape(name)}' for place, (name, _, _) in enumerate(shown, 1)
    )
    level_told = "" if level is None else f" ┄ {level:.0%} wanted"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{goal}{paths}'
        f'{mark(low)}{mark(low + tall)}{foot}</svg><p class="d">{legend}{level_told}</p>'
    )
