"""A relation as HTML for notebooks and as text for terminals.

Both show the same: size and kinds, classes, uncertainty in bits, and the first rows, in which uncertain cells stand out
with their candidates, probabilities and sources. Every text is escaped, nothing is loaded from elsewhere, and the size
is bounded whatever the relation holds. The colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

from html import escape
from io import StringIO
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from easeml.appearance import card
from easeml.relation.overview import GAP, Cell, Choice, Overview, Row, counted, overview, percent
from easeml.relation.relation import Relation

if TYPE_CHECKING:
    from rich.table import Table

_STYLE = card(
    "easeml-r",
    "--u:#fff4ce;--ub:#b7791f;--p:#e3a008;--g:#57a773",
    "--u:#40340f;--ub:#e3b341;--p:#b98207;--g:#3f8f5f",
    """
.card p{margin:0 0 4px}
.card small{color:var(--d);font-size:12px;font-weight:400}
.card th,.card td{vertical-align:top;white-space:nowrap}
.card th small{display:block}
.card td.t{white-space:normal;min-width:9em;max-width:24em;overflow-wrap:break-word}
.card td.u{background:var(--u);box-shadow:inset 3px 0 var(--ub);text-align:left}
.card td.m{color:var(--d)}
.card summary{cursor:pointer}
.card summary small{color:var(--f)}
.card .c{display:grid;grid-template-columns:fit-content(20em) 70px auto auto;gap:2px 8px;align-items:center;
margin:4px 0;width:max-content;max-width:44em}
.card .a{grid-column:1/-1}
.card .o{white-space:nowrap}
.card .b{display:block;height:8px;border-radius:4px;background:var(--l);overflow:hidden}
.card .b i{display:block;height:100%;background:var(--p)}
.card .k{display:inline-block;width:120px;height:8px;border-radius:4px;background:var(--l);overflow:hidden;
vertical-align:middle;margin:0 4px}
.card .k i{display:block;height:100%;background:var(--g)}
""",
)
_BAR = 10
_ROW_ID = 16
"""Characters of a row id in a terminal at most."""
_COLUMN = 14
"""Characters that a column of a terminal table is given at least, on average; narrow ones are given less."""
_NARROW = 6
"""Characters that the narrowest columns need, with what is between them."""


def html_of(relation: Relation, rows: int = 10) -> str:
    """Return a relation as HTML, at most some hundred kB.

    Parameters
    ----------
    rows : int
        First rows to show; a few uncertain ones follow when all of those are certain.
    """
    seen = overview(relation, rows)
    head = "".join(f'<th scope="col">{escape(name)}<small>{escape(kind)}</small></th>' for name, kind in seen.columns)
    body = "".join(
        (_gap(len(seen.columns) + 1) if row.place > before + 1 else "") + _row(row, seen)
        for before, row in zip([-1, *(row.place for row in seen.lines)], seen.lines, strict=False)
    )
    return (
        f'<div class="easeml-r"><style>{_STYLE}</style>'
        f"<p><b>Relation</b> {escape(seen.headline())}</p>{_label_line(seen)}<p>{escape(seen.doubt())}</p>"
        f'<div class="s"><table><thead><tr><th scope="col">row</th>{head}</tr></thead><tbody>{body}</tbody></table>'
        f'</div><p class="d">{escape(_rest(seen))}</p></div>'
    )


def _label_line(seen: Overview) -> str:
    if seen.label is None:
        return '<p class="d">no label</p>'
    total = max(seen.rows, 1)
    parts = [
        f'<span class="o">{escape(name)}{_meter(count / total, "k")}{count:,}</span>' for name, count in seen.classes
    ]
    free = f'<span class="d">unlabelled {seen.unlabelled:,}</span>'
    return f"<p>label <b>{escape(seen.label)}</b>: {' · '.join([*parts, free])}</p>"


def _meter(share: float, kind: str) -> str:
    return f'<span class="{kind}"><i style="width:{100 * min(max(share, 0.0), 1.0):.0f}%"></i></span>'


def _gap(columns: int) -> str:
    return f'<tr><td colspan="{columns}" class="m">⋮</td></tr>'


def _row(row: Row, seen: Overview) -> str:
    note = f"<small> {row.alternatives:,} alternatives</small>" if row.alternatives else ""
    cells = "".join(_cell(cell, kind) for cell, (_, kind) in zip(row.cells, seen.columns, strict=True))
    return f'<tr><th scope="row">{escape(row.row_id)}{note}</th>{cells}</tr>'


def _cell(cell: Cell, kind: str) -> str:
    if cell.uniform:
        told = f"every one of {len(cell.choices) + cell.more:,} classes is as likely"
        return f'<td class="m" title="{told}">unlabelled</td>'
    side = {"numeric": "n", "text": "t"}.get(kind, "")
    if not cell.choices:
        return '<td class="m">–</td>' if cell.text is None else f'<td class="{side}">{escape(cell.text)}</td>'
    shared = cell.source()
    told = "; ".join(
        f"{choice.text} {percent(choice.probability)}{'' if shared else _by(choice.sources)}" for choice in cell.choices
    ) + _by(shared)
    lines = "".join(_choice(choice) for choice in cell.choices)
    more = f'<span class="d a">and {cell.more:,} more</span>' if cell.more else ""
    return (
        f'<td class="u {side}" title="{escape(told)}"><details><summary>{_brief(cell)}</summary>'
        f'<div class="c">{lines}{more}</div></details></td>'
    )


def _choice(choice: Choice) -> str:
    return (
        f"<span>{escape(choice.text)}</span>{_meter(choice.probability, 'b')}"
        f"<span>{escape(percent(choice.probability))}</span>"
        f'<span class="d">{escape(", ".join(choice.sources))}</span>'
    )


def _by(sources: tuple[str, ...]) -> str:
    return f" ({', '.join(sources)})" if sources else ""


def _brief(cell: Cell) -> str:
    """Return an uncertain cell in short: what was observed, and what it most probably is."""
    if cell.tied:
        return "<small>unlabelled</small>"
    best = cell.choices[0]
    likely = f"<b>{escape(best.text)}</b> <small>{escape(percent(best.probability))}</small>"
    if cell.text == best.text:
        return likely
    return f"{'–' if cell.text is None else escape(cell.text)} → {likely}"


def _rest(seen: Overview) -> str:
    """Return what is not shown, in words."""
    rows = seen.rows - len(seen.lines)
    parts = [counted(rows, "more row")] if rows else []
    parts += [counted(seen.hidden_columns, "more column")] if seen.hidden_columns else []
    return f"… {' and '.join(parts)}" if parts else ""


def text_of_relation(relation: Relation, rows: int = 10, *, width: int = 100) -> str:
    """Return a relation as plain text for a terminal.

    Parameters
    ----------
    rows : int
        First rows to show; a few uncertain ones follow when all of those are certain.
    width : int
        Characters of a line.

    Returns
    -------
    str
        Lines without colours or control characters. Uncertain cells end in ``?`` and are told below the table.
    """
    from rich.console import Console  # noqa: PLC0415 - most who import relations print none
    from rich.text import Text  # noqa: PLC0415

    seen = _fitting(relation, rows, width)
    page = StringIO()
    console = Console(file=page, width=width, color_system=None, force_terminal=False, legacy_windows=False)

    def say(line: str) -> None:
        console.print(Text(line), soft_wrap=False)

    say(f"Relation  {seen.headline()}")
    say(_label_text(seen))
    say(seen.doubt())
    console.print(_table(seen, width))
    for line in filter(None, [_rest(seen), *_told(seen)]):
        say(line)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()).rstrip("\n")


def _fitting(relation: Relation, rows: int, width: int) -> Overview:
    """Return what is shown in a width: as many columns as have room, and some however wide they are."""
    least = max(width // _COLUMN - 2, 1)
    seen = overview(relation, rows, most_columns=max(width // _NARROW, least))
    widths = [own + 3 for own in _widths(seen)]
    room = width - _row_width(seen) - 2
    if sum(widths) <= room:
        return seen
    label = relation.label is not None
    room -= len(GAP) + 3 + (widths.pop() if label else 0)
    features = [own for own, (name, _) in zip(widths, seen.columns, strict=False) if name != GAP]
    fit = sum(total <= room for total in accumulate(features))
    return overview(relation, rows, most_columns=max(fit, least))


def _widths(seen: Overview) -> list[int]:
    """Return the characters of the widest cell of each column."""
    cells = [[_plain(row.cells[place]) for row in seen.lines] for place in range(len(seen.columns))]
    return [max(map(len, [name, *own])) for (name, _), own in zip(seen.columns, cells, strict=True)]


def _row_width(seen: Overview) -> int:
    return min(max([3, *(len(row.row_id) for row in seen.lines)]), _ROW_ID)


def _shares(widths: list[int], room: int) -> list[int]:
    """Return the characters of each column: what it needs where there is room, else the wide ones share what is left.

    >>> _shares([5, 40, 30], 45)
    [5, 20, 20]
    """
    shares = [0] * len(widths)
    for done, place in enumerate(sorted(range(len(widths)), key=widths.__getitem__)):
        shares[place] = max(min(widths[place], room // (len(widths) - done)), 3)
        room -= shares[place]
    return shares


def _label_text(seen: Overview) -> str:
    if seen.label is None:
        return "no label"
    parts = [f"{name} {count:,}" for name, count in seen.classes]
    return f"label {seen.label}: {' · '.join([*parts, f'unlabelled {seen.unlabelled:,}'])}"


def _table(seen: Overview, width: int) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    # Shares are told here: rich takes width from narrow columns first, and those are the row ids.
    own = _row_width(seen)
    shares = _shares(_widths(seen), width - own - 2 - 3 * len(seen.columns))
    table.add_column("row", overflow="ellipsis", no_wrap=True, max_width=own)
    for (name, kind), share in zip(seen.columns, shares, strict=True):
        side: Literal["left", "right"] = "right" if kind == "numeric" else "left"
        table.add_column(Text(name), justify=side, overflow="ellipsis", no_wrap=True, max_width=share)
    before = -1
    for row in seen.lines:
        if row.place > before + 1:
            table.add_row("⋮")
        before = row.place
        table.add_row(Text(row.row_id), *(Text(_plain(cell)) for cell in row.cells))
    return table


def _plain(cell: Cell) -> str:
    if cell.uniform or cell.tied:
        return "?"
    if cell.choices:
        return f"{cell.choices[0].text} ?"
    return "–" if cell.text is None else cell.text


def _told(seen: Overview) -> list[str]:
    """Return the distributions of the shown uncertain cells, one line each."""
    lines = []
    for row in seen.lines:
        if row.alternatives:
            lines.append(f"{row.row_id}: {row.alternatives:,} alternatives of the whole row")
        for cell, (name, _) in zip(row.cells, seen.columns, strict=True):
            if cell.choices and not cell.uniform:
                shared = cell.source()
                told = " · ".join(_bar(choice, named=not shared) for choice in cell.choices)
                more = f" · and {cell.more:,} more" if cell.more else ""
                observed = "" if cell.text is None else f" (observed {cell.text})"
                lines.append(f"{row.row_id} {name}{observed}: {told}{more}{_by(shared)}")
    return ["", *lines] if lines else []


def _bar(choice: Choice, *, named: bool) -> str:
    full = "█" * max(1, round(choice.probability * _BAR))
    return f"{full} {choice.text} {percent(choice.probability)}{_by(choice.sources) if named else ''}"
