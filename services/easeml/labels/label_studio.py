"""Questions as Label Studio tasks, and what its annotators said as answers; no I/O here.

A task holds one question: the row as a table, the candidates as choices of its own (dynamic choices), and the most
probable one as a prediction with its probability. Label Studio's JSON export brings the same tasks back with
annotations; the identity of an answer follows from who said what, so an export may be brought in again and again.

Source: https://labelstud.io/guide: tasks, predictions, export (JSON formats); https://labelstud.io/tags/choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from easeml.errors import InvalidDataError
from easeml.ids import EventId
from easeml.labels.client import AskedQuestion

CONFIG = """<View>
  <Header value="$ask"/>
  <Table name="row" value="$row"/>
  <Choices name="answer" toName="row" value="$choices" choice="single-radio"/>
  <TextArea name="other" toName="row" placeholder="another value, where a cell is asked for" maxSubmissions="1"/>
</View>
"""
"""Labeling configuration of a project with these tasks."""
_APP, _QUESTION = "easeml_app", "easeml_question"
_MODEL = "easeml"


@dataclass(frozen=True, slots=True)
class Said:
    """What one annotator said about one question.

    Parameters
    ----------
    app, question, annotator, request_id : str
        As for ``LabelClient.answer``; the same words have the same request id.
    choice, other : str or None
        The candidate chosen, or another value; neither: the task was skipped.
    """

    app: str
    question: str
    annotator: str
    request_id: str
    choice: str | None = None
    other: str | None = None


def task_of(question: AskedQuestion, shown: Callable[[Any], str]) -> dict[str, Any]:
    """Return a question as a task to import into Label Studio.

    Parameters
    ----------
    question : AskedQuestion
        As the label service offers it.
    shown : callable
        A value of the row as people read it.
    """
    what = f"the value of {question.column}" if question.column else f"the {question.kind}"
    beliefs = sorted(zip(question.probabilities, question.candidates, strict=False), key=lambda one: -one[0])
    return {
        "data": {
            _APP: question.app,
            _QUESTION: question.question,
            "ask": f"What is {what} of row {question.row_id}?",
            "row_id": question.row_id,
            "row": {name: shown(value) for name, value in question.row.items()} | question.context,
            "choices": [{"value": candidate} for candidate in question.candidates],
            "probabilities": {candidate: share for share, candidate in beliefs},
        },
        "predictions": [
            {
                "model_version": _MODEL,
                "score": share,
                "result": [
                    {
                        "id": "answer",
                        "from_name": "answer",
                        "to_name": "row",
                        "type": "choices",
                        "value": {"choices": [candidate]},
                    }
                ],
            }
            for share, candidate in beliefs[:1]
        ],
    }


def said(tasks: Any, app: str) -> tuple[list[Said], int]:
    """Return what was said about an app's questions, and how many tasks are not of this app.

    Parameters
    ----------
    tasks : object
        Label Studio's JSON export, parsed.
    app : str
        The app.

    Raises
    ------
    InvalidDataError
        When it is no such export, or an annotation chose several values; names the task.
    """
    if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
        raise InvalidDataError("The file is no list of tasks.", mend="Export the project as JSON, not as JSON-MIN.")
    found, strange = [], 0
    for place, task in enumerate(tasks):
        name = f"Task {task.get('id', f'at place {place}')}"
        data = task.get("data")
        question = data.get(_QUESTION) if isinstance(data, Mapping) and data.get(_APP) == app else None
        if not isinstance(question, str) or not question:
            strange += 1
            continue
        found += [_said(app, question, one, name) for one in _annotations(task, name)]
    return found, strange


def _annotations(task: Mapping[str, Any], name: str) -> Iterable[Mapping[str, Any]]:
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(one, Mapping) for one in annotations):
        raise InvalidDataError(f"{name}: its annotations are no objects.", mend="Export the full JSON, not ids only.")
    return annotations


def _said(app: str, question: str, annotation: Mapping[str, Any], name: str) -> Said:
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    annotator = who if isinstance(who, str) and who else f"label-studio-{'unknown' if who is None else who}"
    cancelled = annotation.get("was_cancelled")
    choices = [] if cancelled else _values(annotation, "choices", "choices", name)
    others = [] if cancelled else [text for text in _values(annotation, "textarea", "text", name) if text.strip()]
    if len(choices) + len(others) > 1:
        given = ", ".join(map(repr, [*choices, *others]))
        raise InvalidDataError(f"{name}: {annotator} gave {given}.", mend="Leave one answer per person.")
    choice, other = next(iter(choices), None), next((text.strip() for text in others), None)
    spoken = f"choice {choice}" if choice is not None else "skip" if other is None else f"other {other}"
    identity = EventId.derive("label-studio", app, question, annotator, spoken)
    return Said(app, question, annotator, identity, choice, other)


def _values(annotation: Mapping[str, Any], kind: str, key: str, name: str) -> list[str]:
    """Return the texts of the results of one kind."""
    results = annotation.get("result") or []
    found: list[str] = []
    for result in results if isinstance(results, list) else [results]:
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(value, Mapping):
            raise InvalidDataError(f"{name}: a result without a value.", mend="Export the project as JSON again.")
        if result.get("type") == kind:
            texts = value.get(key)
            texts = [texts] if isinstance(texts, str) else texts
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise InvalidDataError(f"{name}: its {key} are {texts!r}.", mend="Export the project as JSON again.")
            found += texts
    return list(dict.fromkeys(found))
