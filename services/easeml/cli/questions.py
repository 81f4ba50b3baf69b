"""Questions in the terminal: how one is shown, and what a typed reply means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from easeml.labels.client import AskedQuestion

_TALL = 16
"""Columns of a row beyond which they are laid side by side."""
_IMAGE = (48, 96)
"""Height and width up to which a tensor of two dimensions is drawn."""
_SHADES = " .:-=+*#%@"
_ITEMS = 8
_LITTLE = 0.1
_OTHER = "="


@dataclass(frozen=True, slots=True)
class Replies:
    """What may be typed: a candidate's text, its number, another value, or the words to skip and to stop.

    Numbers are offered only when no candidate is itself a number: ``3`` must not mean the third class where a class
    is called 3. The words give way to candidates of the same name. Another value has a mark before it, so that a slip
    of the fingers is none.

    Parameters
    ----------
    candidates : tuple of str
        Possible values, in the order shown.
    others : bool
        Whether a value besides them may be given.
    """

    candidates: tuple[str, ...]
    others: bool = False

    @property
    def numbered(self) -> bool:
        """Whether a candidate may be named by its number."""
        return not any(_number(text) is not None for text in self.candidates)

    @property
    def skip(self) -> str:
        """The word that passes the question on."""
        return self._word("s")

    @property
    def stop(self) -> str:
        """The word that ends the session."""
        return self._word("q")

    def _word(self, wanted: str) -> str:
        taken = {text.casefold() for text in self.candidates}
        return f":{wanted}" if wanted in taken else wanted

    def candidate(self, typed: str) -> int | None:
        """Return the index of the candidate that was typed, or None.

        >>> replies = Replies(("no", "Yes"))
        >>> [replies.candidate(typed) for typed in ("Yes", "yes ", "2", "0", "maybe")]
        [1, 1, 1, None, None]
        >>> Replies(("1", "0")).candidate("1"), Replies(("31.0", "40.5")).candidate("31")
        (0, 0)
        """
        text = typed.strip()
        if text in self.candidates:
            return self.candidates.index(text)
        alike = [index for index, known in enumerate(self.candidates) if _alike(known, text)]
        if len(alike) == 1:
            return alike[0]
        if self.numbered and text.isdecimal() and 1 <= int(text) <= len(self.candidates):
            return int(text) - 1
        return None

    def other(self, typed: str) -> str | None:
        """Return the other value that was typed, or None.

        >>> Replies(("red", "blue"), others=True).other("= green")
        'green'
        """
        value = typed.strip().removeprefix(_OTHER).strip()
        return value if self.others and typed.strip().startswith(_OTHER) and value else None

    @property
    def prompt(self) -> str:
        """What is asked for."""
        which = "Number or text" if self.numbered else "Text"
        other = f", {_OTHER}VALUE for another one" if self.others else ""
        return f"{which}{other}, {self.skip} to skip, {self.stop} to stop"

    @property
    def correction(self) -> str:
        """What may be typed, for somebody who typed something else."""
        other = f", {_OTHER}VALUE" if self.others else ""
        return f"{', '.join(self.candidates)}{other}, {self.skip} or {self.stop}"


def show(console: Console, question: AskedQuestion) -> None:
    """Print a question: what it is about, the values of its row, and its candidates."""
    about = f", column {question.column}" if question.column else ""
    bits = f"{question.information_gain:.{2 if question.information_gain >= _LITTLE else 4}f} bits"
    price = f"{question.cost:g} label{'' if question.cost == 1 else 's'}"
    console.print(
        f"\n[bold]Row {escape(question.row_id)}{escape(about)}[/]  [dim]{escape(question.app)}, {question.pillar}, "
        f"{bits} for {price}, asked by {escape(question.asked_by)}[/]"
    )
    if question.heard:
        console.print(f"[dim]{question.heard}.[/]")
    if question.row:
        console.print(_table(question.row, asked=question.column))
    else:
        console.print("[yellow]The values of this row are not known here any more.[/]")
    for name, text in question.context.items():
        console.print(f"[dim]{escape(name)}[/] {escape(text)}")
    replies = Replies(question.candidates)
    for number, candidate in enumerate(question.candidates, 1):
        belief = f"[dim]{question.probabilities[number - 1]:.2f}[/]" if question.probabilities else ""
        handle = f"[bold]{number}[/] " if replies.numbered else ""
        console.print(f"  {handle}{escape(candidate)}  {belief}")


def _table(facts: dict[str, Any], asked: str) -> RenderableType:
    texts = {name: f"{cell(value)}  <- asked" if name == asked else cell(value) for name, value in facts.items()}
    if len(texts) > _TALL and not any("\n" in text for text in texts.values()):
        parts = [f"[dim]{escape(name)}[/] {escape(text)}" for name, text in texts.items()]
        return Columns(parts, padding=(0, 3), column_first=True)
    grid = Table(show_header=False)
    for name, text in texts.items():
        grid.add_row(escape(name), escape(text))
    return grid


def cell(value: Any) -> str:
    r"""Return one value as people read it.

    >>> cell(3.0), cell(None), cell(True), cell([[0.0, 9.0], [9.0, 0.0]])
    ('3', '(missing)', 'yes', ' @\n@ ')
    """
    if value is None:
        return "(missing)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return _tensor(value) if isinstance(value, list) else str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _alike(one: str, other: str) -> bool:
    number = _number(one)
    return one.strip().casefold() == other.strip().casefold() or (number is not None and number == _number(other))


def _tensor(value: list[Any]) -> str:
    shape = _shape(value)
    if len(shape) == 3 and shape[-1] == 1:  # one channel
        value, shape = [[pixel[0] for pixel in line] for line in value], shape[:2]
    if len(shape) == 2 and 1 < shape[0] <= _IMAGE[0] and 1 < shape[1] <= _IMAGE[1]:
        return _drawn(value)
    if len(shape) == 1 and shape[0] <= _ITEMS:
        return ", ".join(cell(item) for item in value)
    return f"{' x '.join(map(str, shape))} numbers"


def _shape(value: Any) -> tuple[int, ...]:
    return (len(value), *(_shape(value[0]) if value else ())) if isinstance(value, list) else ()


def _drawn(image: Sequence[Sequence[float]]) -> str:
    """Return an image as characters, the brightest pixel the densest."""
    low = min(map(min, image))
    span = max(map(max, image)) - low
    if not span > 0:  # also when a pixel is missing
        return f"{len(image)} x {len(image[0])} equal or missing pixels"
    top = len(_SHADES) - 1
    return "\n".join("".join(_SHADES[round((pixel - low) / span * top)] for pixel in line) for line in image)
