"""Questions as buttons: one at a time, the most telling first, answered with a click."""

from __future__ import annotations

import uuid
from html import escape
from typing import Any

from easeml.appearance import card
from easeml.dashboard.asking import Desk
from easeml.errors import ConfigurationError, EaseMLError, InvalidDataError
from easeml.stream.settings import Settings

_STYLE = card(
    "easeml-q",
    "",
    "",
    ".card p{margin:0 0 6px}.card th{font-weight:400;color:var(--d)}.card td{max-width:36em;overflow-wrap:anywhere}"
    ".card tr.a td{font-weight:600}.card svg{display:block;width:96px;height:auto}",
)


class Deck:
    """The open questions of an app.

    Parameters
    ----------
    settings : Settings
        Where the label service is.
    app, annotator : str
        Who answers, for which app.

    Raises
    ------
    ConfigurationError
        When the extra ``notebook`` is not installed.
    """

    def __init__(self, settings: Settings, app: str, annotator: str) -> None:
        try:
            import ipywidgets  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError(
                "Buttons need ipywidgets.", mend="pip install 'easeml-streaming[notebook]', or use 'easeml label'."
            ) from error
        self._made: Any = ipywidgets
        self._desk = Desk(settings)
        self._app, self._annotator = app, annotator
        self._seen: set[str] = set()
        self._request = ""
        self.question: dict[str, Any] | None = None
        """The question shown; None: none is open."""
        self.answered = 0
        """Answers given here."""
        self.skipped = 0
        self._card, self._note = ipywidgets.HTML(), ipywidgets.HTML()
        self._bar = ipywidgets.IntProgress(layout=ipywidgets.Layout(width="100%"))
        self._row = ipywidgets.HBox(layout=ipywidgets.Layout(flex_flow="row wrap"))
        self._other = ipywidgets.Text(placeholder="another value, then Enter", continuous_update=False)
        self._other.observe(self._typed, names="value")
        self.widget = ipywidgets.VBox([self._bar, self._card, self._row, self._note])
        """What the notebook shows."""
        self.refresh()

    @property
    def buttons(self) -> tuple[Any, ...]:
        """A button per candidate, then the one that skips, as they are shown."""
        return tuple(child for child in self._row.children if isinstance(child, self._made.Button))

    def press(self, text: str) -> None:
        """Press the button with this text; where there is none, give the text as another value of a cell.

        Raises
        ------
        InvalidDataError
            When no question is open, or it takes no other value.
        """
        button = next((one for one in self.buttons if one.description == text), None)
        if button is not None:
            button.click()
        elif self.question is not None and self.question["kind"] == "cell":
            self._other.value = text
        else:
            raise InvalidDataError(f"There is no button {text!r}.", mend=f"Press one of {self._texts()}.")

    def refresh(self) -> None:
        """Ask for the most telling question that is open now."""
        found = self._desk.questions(self._app, self._annotator)
        left = [one for one in found if one["question"] not in self._seen]
        self.question, self._request = (left[0] if left else None), str(uuid.uuid4())
        done = self.answered + self.skipped
        self._bar.max, self._bar.value = max(done + len(left), 1), done
        self._bar.description = f"{self.answered} answered"
        self._draw()

    def _texts(self) -> list[str]:
        return [button.description for button in self.buttons]

    def _draw(self) -> None:
        asked, button = self.question, self._button
        if asked is None:
            self._card.value = f'<div class="easeml-q"><style>{_STYLE}</style><p>No question is open now.</p></div>'
            self._row.children = (button("look again", self.refresh),)
            return
        self._card.value = drawn(asked)
        choices = [
            button(text, lambda place=place: self._say("answer", value=place))
            for place, text in enumerate(asked["candidates"])
        ]
        self._other.value = ""
        others = [self._other] if asked["kind"] == "cell" else []
        self._row.children = (*choices, *others, button("skip", lambda: self._say("skip")))

    def _button(self, text: str, act: Any) -> Any:
        made = self._made.Button(description=text, tooltip=text, layout=self._made.Layout(width="auto"))
        made.on_click(lambda _button: act())
        return made

    def _typed(self, change: dict[str, Any]) -> None:
        if change["new"].strip():
            self._say("answer", other=change["new"].strip())

    def _say(self, action: str, **answer: Any) -> None:
        """Send what was said; a refusal is shown, and the question stays unless it is closed."""
        assert self.question is not None
        name = self.question["question"]
        try:
            self._desk.act(action, self._app, name, self._annotator, answer | {"request_id": self._request})
        except InvalidDataError as error:
            self._note.value = f"<p>{escape(str(error))}</p>"
            return
        except EaseMLError as error:  # somebody else was faster, or it expired meanwhile
            self._note.value = f"<p>Not counted: {escape(str(error))}</p>"
        else:
            self._note.value = ""
            self.answered += action == "answer"
            self.skipped += action == "skip"
        self._seen.add(name)  # it leaves the list only once its answer is on the stream
        self.refresh()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.widget._repr_mimebundle_(**kwargs)

    def __repr__(self) -> str:
        if self.question is None:
            return f"No question of {self._app} is open now; {self.answered} answered."
        return f"{_about(self.question)}: {', '.join(self._texts())}"


def drawn(asked: dict[str, Any]) -> str:
    """Return a question with its row as HTML; every text of it is escaped.

    Parameters
    ----------
    asked : dict
        As ``dashboard.asking.shown`` tells it.
    """
    rows = "".join(
        f'<tr{mark}><th scope="row">{escape(cell["column"])}</th><td>{_value(cell)}</td></tr>'
        for cell in asked["row"]
        for mark in [' class="a"' if cell["column"] == asked["column"] else ""]
    )
    told = "".join(f"<p>{escape(name)}: {escape(text)}</p>" for name, text in asked["context"].items())
    beliefs = zip(asked["candidates"], asked["probabilities"], strict=False)
    belief = ", ".join(f"{escape(text)} {share:.0%}" for text, share in beliefs)
    heard = f", {escape(asked['heard'])}" if asked["heard"] else ""
    return (
        f'<div class="easeml-q"><style>{_STYLE}</style><p><b>{escape(_about(asked))}</b> '
        f'<span class="d">{asked["bits"]:.2g} bits, asked by {escape(asked["asked_by"])}{heard}</span></p>'
        f'<div class="s"><table><tbody>{rows}</tbody></table></div>{told}<p class="d">believed now: {belief}</p></div>'
    )


def _about(asked: dict[str, Any]) -> str:
    what = f"the value of {asked['column']}" if asked["kind"] == "cell" else f"the {asked['kind']}"
    return f"What is {what} of row {asked['row_id']}?"


def _value(cell: dict[str, Any]) -> str:
    kind = cell["kind"]
    if kind == "missing":
        return '<span class="d">missing</span>'
    if kind == "number":
        return f"{cell['value']:.6g}"
    if kind == "image":
        return _image(cell)
    if kind == "numbers":
        return escape(", ".join(f"{number:.4g}" for number in cell["value"][:12]))
    return escape(str(cell["value"]))


def _image(cell: dict[str, Any]) -> str:
    """Return a small image as squares of grey, the mean of its channels."""
    height, width, channels = cell["height"], cell["width"], cell["channels"]
    if height * width > 4096:
        return f"{height} x {width} pixels"
    pixels = [
        sum(cell["values"][at : at + channels]) / channels for at in range(0, height * width * channels, channels)
    ]
    low, span = min(pixels), (max(pixels) - min(pixels)) or 1.0
    squares = "".join(
        f'<rect x="{place % width}" y="{place // width}" width="1" height="1" fill="rgb({grey},{grey},{grey})"/>'
        for place, pixel in enumerate(pixels)
        for grey in [round(255 * (pixel - low) / span)]
    )
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{height} x {width} pixels">{squares}</svg>'
