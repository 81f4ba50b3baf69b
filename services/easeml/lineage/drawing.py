"""Graphs for people: what each step does and costs, a drawing for terminals, and one as SVG."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from easeml.lineage.evaluation import CacheLike, arguments, described
from easeml.lineage.forecast import Forecast, forecast
from easeml.lineage.graph import Graph, Node
from easeml.lineage.plan import Plan
from easeml.lineage.values import canonical

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 230, 58, 40, 34, 16
_INSET, _FONT = 10, 12
_NARROW, _BROAD = frozenset("iljtfI.,:;'|!()[]/ "), frozenset("mwMW@%")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def explain(graph: Graph, *, parameters: Mapping[str, Any] | None = None, cache: CacheLike = True) -> str:
    """Return what an evaluation would do: steps in order, what each does, whether it is cached, what it costs."""
    plan, told = forecast(graph, parameters=parameters, cache=cache)
    places = {id(step.node): place + 1 for place, step in enumerate(plan.steps)}
    names = {id(node): name for name, node in plan.outputs.items()}
    lines = []
    for place, one in enumerate(told, 1):
        step = one.step
        taken = ", ".join(str(places[id(node)]) for node in step.inputs)
        wanted = f"  => {names[id(step.node)]}" if id(step.node) in names else ""
        lines.append(f"{place}. {' + '.join(map(described, step.nodes))}{f' on {taken}' if taken else ''}{wanted}")
        lines += [f"   {node.kind.summary}" for node in step.nodes if node.kind.summary]
        lines.append(f"   {_state(one)}")
    ready = sum(one.cached for one in told)
    open_costs = [one.seconds for one in told if not one.cached]
    known = [cost for cost in open_costs if cost is not None]
    estimate = f"about {_time(sum(known))}" if known else "of unknown cost"
    if known and len(known) < len(open_costs):
        estimate += f" for {len(known)} of them"
    rest = f"{len(open_costs)} to run, {estimate}" if open_costs else "nothing to run"
    lines += [f"{len(told)} steps: {ready} ready, {rest}.", *(f"Plan: {note}." for note in plan.notes)]
    lines += [f"Parameter {one.name}: {_parameter(one.default)} {one.description}".rstrip() for one in _open(graph)]
    return "\n".join(_clean(line) for line in lines)


def _open(graph: Graph) -> Sequence[Any]:
    return tuple(graph.parameters.values())


def _parameter(default: Any) -> str:
    return "must be set." if repr(default) == "REQUIRED" else f"{canonical(default)} unless set."


def _state(one: Forecast) -> str:
    if one.problem:
        return f"cannot run: {one.problem}"
    if one.cached:
        rows = f", {one.rows:,} rows" if one.rows >= 0 else ""
        return f"ready{rows}"
    return "to run, cost unknown" if one.seconds is None else f"to run, about {_time(one.seconds)}"


def _time(seconds: float) -> str:
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.1f} s" if seconds >= 0.1 else "0.1 s or less"


def _clean(text: str) -> str:
    """Return a text without what would steer a terminal or is no XML character."""
    return _UNPRINTABLE.sub("�", text)


def draw(graph: Graph) -> str:
    """Return a drawing for terminals: each output above what it is made of; a step that was drawn before is named.

    A step with one input stands above it; several inputs branch off.
    """
    numbers = {id(node): place for place, node in enumerate(graph.nodes, 1)}
    drawn: set[int] = set()
    lines: list[str] = []
    for name, output in graph.outputs.items():
        lines.append(_clean(name))
        stack = [(output, "", "")]
        while stack:
            node, first, rest = stack.pop()
            again = id(node) in drawn and bool(node.inputs)
            drawn.add(id(node))
            what = f"see {numbers[id(node)]}" if again else _clean(described(node, 70))
            lines.append(f"{first}● {numbers[id(node)]} {what}")
            if again:
                continue
            if len(node.inputs) == 1:
                stack.append((node.inputs[0], rest, rest))
                continue
            branches = [
                (one, rest + ("└─" if last else "├─"), rest + ("  " if last else "│ "))
                for one, last in ((one, place == len(node.inputs) - 1) for place, one in enumerate(node.inputs))
            ]
            stack += reversed(branches)
    unused = [node for node in graph.nodes if id(node) not in drawn]
    if unused:
        lines += ["not used", *(f"○ {numbers[id(node)]} {_clean(described(node, 70))}" for node in unused)]
    return "\n".join(lines)


def draw_svg(graph: Graph, plan: Plan | None = None) -> str:
    """Return the graph as one self-contained SVG: inputs at the top, outputs at the bottom.

    Parameters
    ----------
    graph : Graph
        What to draw.
    plan : Plan, optional
        Nodes that it does not run are drawn dashed.
    """
    level: dict[int, int] = {}
    for node in graph.nodes:
        level[id(node)] = 1 + max((level[id(one)] for one in node.inputs), default=-1)
    rows: dict[int, list[Node]] = {}
    for node in graph.nodes:
        rows.setdefault(level[id(node)], []).append(node)
    at = _placed(rows)
    width = max(x for x, _ in at.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in at.values()) + _HEIGHT + _MARGIN
    run = None if plan is None else {node.digest for step in plan.steps for node in step.nodes}
    outputs: dict[int, list[str]] = {}
    for name, node in graph.outputs.items():
        outputs.setdefault(id(node), []).append(name)
    lines = [_edge(at[id(one)], at[id(node)]) for node in graph.nodes for one in node.inputs]
    boxes = [
        _box(node, at[id(node)], outputs.get(id(node), []), dashed=run is not None and node.digest not in run)
        for node in graph.nodes
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="{_FONT}"><title>Lineage graph</title>'
        '<defs><marker id="easeml-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def _placed(rows: Mapping[int, Sequence[Node]]) -> dict[int, tuple[int, int]]:
    """Return the corner of each box; a row is ordered by the middle of its inputs, which keeps crossings few."""
    widest = max(map(len, rows.values()))
    at: dict[int, tuple[int, int]] = {}
    for level in sorted(rows):

        def middle(node: Node) -> float:
            return sum(at[id(one)][0] for one in node.inputs) / max(len(node.inputs), 1)

        inset = (widest - len(rows[level])) * (_WIDTH + _GAP_X) // 2
        for place, node in enumerate(sorted(rows[level], key=middle)):
            at[id(node)] = (_MARGIN + inset + place * (_WIDTH + _GAP_X), _MARGIN + level * (_HEIGHT + _GAP_Y))
    return at


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH // 2, start[1] + _HEIGHT, end[0] + _WIDTH // 2, end[1]
    half = (y2 - y1) // 2
    return (
        f'<path d="M{x1} {y1}C{x1} {y1 + half} {x2} {y2 - half} {x2} {y2}" fill="none" stroke="#64748b" '
        'marker-end="url(#easeml-arrow)"/>'
    )


def _box(node: Node, corner: tuple[int, int], outputs: Sequence[str], *, dashed: bool) -> str:
    x, y = corner
    fill = "#dcfce7" if outputs else "#f1f5f9"
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    title = f"{node.operator} v{node.version}" + (f" => {', '.join(outputs)}" if outputs else "")
    return (
        f'<g><title>{_xml(described(node, 2000))}</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'rx="6" fill="{fill}" stroke="#334155"{dash}/>'
        # A drawing within the drawing cuts what is wider than its frame, whatever font there is.
        f'<svg x="{x + _INSET}" y="{y}" width="{_WIDTH - 2 * _INSET}" height="{_HEIGHT}">'
        f'<text y="24" font-weight="bold">{_xml(_cut(title, 1.08))}</text>'
        f'<text y="44" fill="#475569">{_xml(_cut(arguments(node)))}</text></svg></g>'
    )


def _cut(text: str, weight: float = 1.0) -> str:
    """Return as much of a text as fits into a box; ``weight`` is how wide the letters are, plain ones 1."""
    room = _WIDTH - 2 * _INSET
    widths = np.cumsum([weight * _letter(letter) for letter in text])
    if not len(widths) or widths[-1] <= room:
        return text
    return f"{text[: int(np.searchsorted(widths, room - _FONT * weight, side='right'))]}…"


def _letter(letter: str) -> float:
    """Return about how wide a letter of a sans-serif font is."""
    if unicodedata.east_asian_width(letter) in "WF":
        return _FONT
    em = 0.3 if letter in _NARROW else 0.95 if letter in _BROAD else 0.7 if letter.isupper() else 0.56
    return em * _FONT


def _xml(text: str) -> str:
    return escape(_clean(text), quote=True)
