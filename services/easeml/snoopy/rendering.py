"""A report as text for terminals and as HTML for notebooks and pages, with the curve and the target in both.

Nothing is loaded from elsewhere, every text is escaped, and the colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape

import numpy as np

from easeml.appearance import card
from easeml.snoopy import bounds
from easeml.snoopy.curves import fit_power_law
from easeml.snoopy.inputs import Floats
from easeml.snoopy.report import ArmReport, FeasibilityReport
from easeml.snoopy.wording import WARNING, headline, meaning, percent
from easeml.stream.payloads import FeasibilitySignal

_HEIGHT = 12
_AHEAD = 2.0
"""The curve is drawn on to this many times the rows."""
_PAGE = (640, 240)
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 12, 34
_MARKS = {FeasibilitySignal.REALISTIC: "✓", FeasibilitySignal.UNDECIDED: "?", FeasibilitySignal.UNREALISTIC: "✗"}
_STYLE = card(
    "easeml-f",
    "--c:#2563eb;--t:#b7791f;--ok:#2f7d4a;--no:#b42318",
    "--c:#7aa5ff;--t:#e3b341;--ok:#6cc48a;--no:#f08a7e",
    f"""
.card p{{margin:0 0 6px;max-width:52em}}
.card .g{{font-size:15px}}
.card .g b{{border-radius:4px;padding:1px 8px;margin-right:8px;color:var(--b);background:var(--t)}}
.card .g b.realistic{{background:var(--ok)}}
.card .g b.unrealistic{{background:var(--no)}}
.card svg{{display:block;width:100%;max-width:{_PAGE[0]}px;height:auto;margin:8px 0;font:12px system-ui,sans-serif}}
""",
)


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """Accuracy against rows.

    Parameters
    ----------
    rows, reachable : float64[m]
        What was read: rows, and the best accuracy they make believe.
    later, expected : float64[k]
        How it would go on.
    low, high : float
        Range of the accuracies shown; holds the target.
    """

    rows: Floats
    reachable: Floats
    later: Floats
    expected: Floats
    low: float
    high: float

    @classmethod
    def of(cls, report: FeasibilityReport) -> Plot:
        """Return the plot of the best arm."""
        best = report.best
        rows, reachable = best.rows.astype(np.float64), 1 - best.estimate
        last = float(rows[-1])
        later = np.linspace(last, _AHEAD * last, 40)[1:]
        law = fit_power_law(best.rows, best.error)
        # From where the curve stands: the law is fitted to all of it and need not pass through its end.
        ahead = np.clip(law(later) + best.error[-1] - law(last), 0, None)
        expected = 1 - bounds.bayes_error(ahead, report.classes)
        shown = np.concatenate([reachable, expected, [report.target_accuracy]])
        low, high = float(shown.min()), float(shown.max())
        room = max(0.08 * (high - low), 0.005)
        return cls(rows, reachable, later, expected, max(low - room, 0.0), min(high + room, 1.0))


def text_of(report: FeasibilityReport, *, width: int = 100) -> str:
    """Return a report as plain text, without colours or control characters.

    Parameters
    ----------
    width : int
        Characters of a line, at least 40.
    """
    wide = max(width, 40)
    lines = [*_wrapped(f"{_MARKS[report.signal]} {report.signal.name}  {headline(report)}", wide), ""]
    if len(report.best.rows):
        lines += [*_drawn(report, Plot.of(report), wide), ""]
    lines += [*_arm_lines(report, wide), ""]
    for sentence in meaning(report):
        lines += _wrapped(sentence, wide)
    return "\n".join([*lines, *_wrapped(f"Note: {WARNING}", wide)])


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ")


def _drawn(report: FeasibilityReport, plot: Plot, width: int) -> list[str]:
    """Return the curve: read rows as ●, what is expected of more as ·, the target as a line."""
    across = min(width - 15, 76)
    canvas = [[" "] * across for _ in range(_HEIGHT)]
    goal = _line(plot, report.target_accuracy)
    canvas[goal] = ["─"] * across
    most = plot.later[-1]
    for rows, values, mark in ((plot.later, plot.expected, "·"), (plot.rows, plot.reachable, "●")):
        for count, value in zip(rows.tolist(), values.tolist(), strict=True):
            canvas[_line(plot, value)][round(count / most * (across - 1))] = mark
    lines = ["best possible accuracy, against rows   ● read   · expected   ─ target"]
    step = (plot.high - plot.low) / (_HEIGHT - 1)
    for place, cells in enumerate(canvas):
        value = report.target_accuracy if place == goal else plot.high - place * step
        named = place in (0, goal, _HEIGHT - 1)
        lines.append(f"{percent(value) if named else '':>8} ┤{''.join(cells)}".rstrip())
    last, end = f"{report.best.rows[-1]:,}", f"{round(most):,}"
    axis = f"0{last:>{round((across - 1) / _AHEAD) + len(last) // 2}}"
    return [*lines, f"{'':9}└{'─' * across}", f"{'':10}{axis}{end:>{across - len(axis)}} rows"]


def _line(plot: Plot, value: float) -> int:
    return round((plot.high - value) / (plot.high - plot.low) * (_HEIGHT - 1))


def _arm_rows(report: FeasibilityReport) -> list[tuple[str, str, str, str]]:
    return [(arm.transformation, str(arm.state), percent(arm.share), _accuracy(arm)) for arm in report.arms]


def _accuracy(arm: ArmReport) -> str:
    return percent(1 - arm.last) if len(arm.estimate) else "–"


def _arm_lines(report: FeasibilityReport, width: int) -> list[str]:
    rows = [("arm", "state", "read", "accuracy"), *_arm_rows(report)]
    name = min(max(len(row[0]) for row in rows), width - 30)
    return [f"{row[0][:name]:<{name}}  {row[1]:<8}{row[2]:>9}{row[3]:>10}" for row in rows]


def html_of(report: FeasibilityReport) -> str:
    """Return a report as one HTML element."""
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in meaning(report))
    arms = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{state}</td><td class="n">{read}</td>'
        f'<td class="n">{right}</td></tr>'
        for name, state, read, right in _arm_rows(report)
    )
    head = "".join(f'<th scope="col">{title}</th>' for title in ("arm", "state", "read", "best possible accuracy"))
    return (
        f'<div class="easeml-f"><style>{_STYLE}</style>'
        f'<p class="g"><b class="{report.signal}">{report.signal.name}</b>{escape(headline(report))}</p>'
        f"{_svg(report, Plot.of(report)) if len(report.best.rows) else ''}{told}"
        f'<div class="s"><table><thead><tr>{head}</tr></thead><tbody>{arms}</tbody></table></div>'
        f'<p class="d">{report.rows:,} labelled rows, {report.classes} classes, '
        f"{percent(report.distinct_row_ratio)} of the rows distinct.</p>"
        f'<p class="d">{escape(WARNING)}</p></div>'
    )


def _svg(report: FeasibilityReport, plot: Plot) -> str:
    width, height = _PAGE
    most = float(plot.later[-1])

    def x(rows: float) -> float:
        return _LEFT + rows / most * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (plot.high - value) / (plot.high - plot.low) * (height - _TOP - _BOTTOM)

    def path(rows: Floats, values: Floats) -> str:
        return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(rows.tolist(), values.tolist(), strict=True))

    goal, foot = y(report.target_accuracy), height - _BOTTOM
    marks = [plot.low + share * (plot.high - plot.low) for share in (0, 0.5, 1)]
    scale = "".join(
        f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="var(--l)"/>'
        f'<text x="{_LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end" fill="var(--d)">{percent(mark)}</text>'
        for mark in marks
    )
    last = int(report.best.rows[-1])
    feet = "".join(
        f'<text x="{x(rows):.1f}" y="{foot + 16}" text-anchor="{anchor}" fill="var(--d)">{text}</text>'
        for rows, anchor, text in (
            (0, "start", "0"),
            (last, "middle", f"{last:,} rows read"),
            (most, "end", f"{round(most):,}"),
        )
    )
    # The words stand on the side of the line where the curve is not.
    below = float(plot.expected[-1]) >= report.target_accuracy
    words = goal + 15 if below else goal - 6
    joined = (np.append(plot.rows[-1], plot.later), np.append(plot.reachable[-1], plot.expected))
    dots = "".join(
        f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.5" fill="var(--c)"/>'
        for a, b in zip(plot.rows.tolist(), plot.reachable.tolist(), strict=True)
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Best possible accuracy against rows; '
        f'target {percent(report.target_accuracy)}">{scale}{feet}'
        f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{goal:.1f}" y2="{goal:.1f}" stroke="var(--t)" '
        f'stroke-width="1.5" stroke-dasharray="6 4"/>'
        f'<text x="{width - _RIGHT}" y="{words:.1f}" text-anchor="end" fill="var(--t)">'
        f"target {percent(report.target_accuracy)}</text>"
        f'<polyline points="{path(*joined)}" fill="none" stroke="var(--c)" stroke-width="1.5" stroke-dasharray="2 4"/>'
        f'<polyline points="{path(plot.rows, plot.reachable)}" fill="none" stroke="var(--c)" stroke-width="2"/>'
        f"{dots}</svg>"
    )
