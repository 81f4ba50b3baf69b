"""Label Studio exports as label candidates: who chose what, what a model predicted, and which tasks were skipped.

Takes the full JSON export (tasks with ``annotations``, ``completions`` in old versions, and ``predictions``) and the
JSON_MIN export (one object per annotation), of projects whose label is a choice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from easeml.errors import InvalidDataError
from easeml.relation import Relation

SOURCE = "label-studio"
_MIN_KEYS = frozenset({"annotation_id", "annotator"})
_ROW_ID = "row_id"


@dataclass(frozen=True, slots=True, eq=False)
class LabelStudioExport:
    """What a Label Studio export says about the labels of rows.

    Parameters
    ----------
    candidates : DataFrame
        ``row_id``, ``column``, ``value``, ``probability`` and ``source`` (``label-studio/annotator-7`` or
        ``label-studio/prediction-MODEL``); per row and source the probabilities sum to 1.
    votes : DataFrame
        ``row_id``, ``annotator`` and ``value`` of every annotation that chose one class: for ``Votes.from_frame``.
    skipped : tuple of str
        Rows that annotators passed over or left empty, and that nobody labelled.
    """

    candidates: pd.DataFrame
    votes: pd.DataFrame
    skipped: tuple[str, ...]


@dataclass(slots=True)
class _Reading:
    """Choices gathered from the tasks; a person's last word on a row counts."""

    column: str
    classes: tuple[str, ...] | None
    question: str | None
    said: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    predicted: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    passed: dict[str, None] = field(default_factory=dict)


def import_label_studio(
    export: str | bytes | Sequence[Any],
    *,
    column: str = "label",
    classes: Sequence[str] | None = None,
    id_field: str | None = None,
    question: str | None = None,
) -> pd.DataFrame:
    """Return the candidate table of an export; arguments and errors as for ``read_label_studio``."""
    return read_label_studio(export, column=column, classes=classes, id_field=id_field, question=question).candidates


def read_label_studio(
    export: str | bytes | Sequence[Any],
    *,
    column: str = "label",
    classes: Sequence[str] | None = None,
    id_field: str | None = None,
    question: str | None = None,
) -> LabelStudioExport:
    """Read an export of a classification project.

    Each annotator is a source of its own: one choice is certain, several share the probability alike. A prediction
    with a score s < 1 gives s to its choice and the rest to the other classes.

    Parameters
    ----------
    export : str, bytes or list
        JSON text, or what it parses to.
    column : str
        Name of the label column in the relation.
    classes : sequence of str, optional
        Classes of the app; choices outside are refused, and the rest of a scored prediction goes to them. Without
        it, the classes seen in the export.
    id_field : str, optional
        Field of the task's data that holds the row id. Without it, ``row_id`` if the tasks have it, else the number
        of the task.
    question : str, optional
        Name of the choices tag (``from_name``) in projects that ask several questions.

    Raises
    ------
    InvalidDataError
        When it is no such export, a task has no row id or is no choice, or a choice is no class; names the task.

    Examples
    --------
    >>> task = {"id": 7, "annotations": [{"completed_by": 1, "result": [
    ...     {"from_name": "kind", "type": "choices", "value": {"choices": ["spam"]}}]}], "data": {"text": "buy!"}}
    >>> read_label_studio([task]).candidates.iloc[0].astype(str).tolist()
    ['7', 'label', 'spam', '1.0', 'label-studio/annotator-1']
    """
    tasks = _tasks(export)
    reading = _Reading(column, None if classes is None else tuple(classes), question)
    if id_field is None and any(_ROW_ID in _data(task) for _, task in tasks):
        id_field = _ROW_ID
    for name, task in tasks:
        row_id = _row_id(task, name, id_field)
        if "annotations" in task or "completions" in task or "predictions" in task:
            _read_full(reading, row_id, name, task)
        else:
            _read_min(reading, row_id, name, task)
    return _export(reading)


def merge_label_studio(relation: Relation, candidates: pd.DataFrame) -> Relation:
    """Return the relation with the candidates of every source of a table merged, each source for itself.

    Raises
    ------
    NotFoundError, InvalidDataError
        As ``Relation.merge_candidates``.
    """
    for source, lines in candidates.groupby("source", sort=True):
        relation = relation.merge_candidates(lines.drop(columns="source"), source=str(source))
    return relation


def _tasks(export: str | bytes | Sequence[Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the tasks with the names that errors give them."""
    if isinstance(export, str | bytes):
        try:
            export = json.loads(export)
        except UnicodeDecodeError as error:
            raise InvalidDataError(f"The export is no UTF-8 text: {error}.", mend="Export as JSON again.") from error
        except json.JSONDecodeError as error:
            raise InvalidDataError(
                f"The export is no JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
                mend="Export the project as JSON or JSON-MIN.",
            ) from error
    if not isinstance(export, Sequence):
        raise InvalidDataError(
            f"The export is a {type(export).__name__}, not a list of tasks.", mend="Export as JSON or JSON-MIN."
        )
    tasks = []
    for place, task in enumerate(export):
        if not isinstance(task, Mapping):
            raise InvalidDataError(f"Task at place {place}: a {type(task).__name__}.", mend="A task is an object.")
        tasks.append((f"Task {task['id']}" if "id" in task else f"Task at place {place}", task))
    return tasks


def _data(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a task's row: under ``data``, or beside the rest in the min format."""
    data = task.get("data", task)
    return data if isinstance(data, Mapping) else {}


def _row_id(task: Mapping[str, Any], name: str, id_field: str | None) -> str:
    found = task.get("id") if id_field is None else _data(task).get(id_field)
    if found is None or isinstance(found, dict | list | bool) or str(found) == "":
        what = "no id" if id_field is None else f"no row id in field {id_field!r}"
        raise InvalidDataError(f"{name}: {what}.", mend="Name the field that holds the row id with id_field.")
    return str(found)


def _read_full(reading: _Reading, row_id: str, name: str, task: Mapping[str, Any]) -> None:
    for annotation in _objects(task, ("annotations", "completions"), name):
        chosen = () if annotation.get("was_cancelled") else _choices(reading, annotation.get("result"), name)
        if chosen:
            reading.said[row_id, _annotator(annotation.get("completed_by"))] = chosen
        else:
            reading.passed[row_id] = None
    for prediction in _objects(task, ("predictions",), name):
        chosen = _choices(reading, prediction.get("result"), name)
        if len(chosen) > 1:
            raise InvalidDataError(f"{name}: a prediction of {len(chosen)} choices.", mend="Predict one class.")
        if chosen:
            model = str(prediction.get("model_version") or "model")
            reading.predicted[row_id, model] = chosen[0], _score(prediction.get("score"), name)


def _objects(task: Mapping[str, Any], keys: Iterable[str], name: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for key in keys:
        items = task.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise InvalidDataError(
                f"{name}: {key!r} is no list of objects.", mend="Export the full JSON, not ids only."
            )
        found += items
    return found


def _annotator(completed_by: Any) -> str:
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return "unknown" if completed_by is None else str(completed_by)


def _score(score: Any, name: str) -> float:
    if score is None:
        return 1.0
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InvalidDataError(f"{name}: a prediction score of {score!r}.", mend="Scores are from 0 to 1.")
    return float(score)


def _choices(reading: _Reading, result: Any, name: str) -> tuple[str, ...]:
    """Return the choices of one annotation's result, without repetition; empty: nothing was chosen."""
    if result is not None and not isinstance(result, list):
        raise InvalidDataError(f"{name}: the result is a {type(result).__name__}.", mend="Export as JSON again.")
    kinds, chosen, asked = set(), [], set()
    for item in result or []:
        if not isinstance(item, Mapping) or not isinstance(item.get("value", {}), Mapping):
            raise InvalidDataError(f"{name}: a result without a value.", mend="Export as JSON again.")
        if reading.question is not None and item.get("from_name") != reading.question:
            continue
        kinds.add(str(item.get("type")))
        if item.get("type") == "choices":
            asked.add(str(item.get("from_name")))
            chosen += _names(reading, item.get("value", {}).get("choices"), name)
    if len(asked) > 1:
        raise InvalidDataError(
            f"{name}: answers to {', '.join(sorted(asked))}.", mend="Say with question which one is the label."
        )
    if kinds and not asked:
        raise InvalidDataError(
            f"{name}: a result of type {', '.join(sorted(kinds))}.", mend="Only choices are labels of a row."
        )
    return tuple(dict.fromkeys(chosen))


def _names(reading: _Reading, choices: Any, name: str) -> list[str]:
    if isinstance(choices, str):
        choices = [choices]
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise InvalidDataError(f"{name}: the choices are {choices!r}.", mend="Choices are a list of names.")
    odd = [choice for choice in choices if reading.classes is not None and choice not in reading.classes]
    if odd:
        raise InvalidDataError(
            f"{name}: {odd[0]!r} is not one of {', '.join(reading.classes or ())}.",
            mend="Rename the choice, or add the class to the app.",
        )
    return choices


def _read_min(reading: _Reading, row_id: str, name: str, task: Mapping[str, Any]) -> None:
    """Read an object of the min format, where the tag's name is a key beside the data."""
    if not _MIN_KEYS & task.keys():
        raise InvalidDataError(f"{name}: no annotations.", mend="Export the project as JSON or JSON-MIN.")
    answer = task.get(_tag(reading, task, name))
    if isinstance(answer, Mapping):
        answer = answer.get("choices")
    chosen = tuple(dict.fromkeys(_names(reading, answer, name))) if answer else ()
    if chosen:
        reading.said[row_id, _annotator(task.get("annotator"))] = chosen
    else:
        reading.passed[row_id] = None


def _tag(reading: _Reading, task: Mapping[str, Any], name: str) -> str:
    """Return the key of the answer: the format writes the row, then ``id``, the answers, and ``annotator``."""
    if reading.question is not None:
        return reading.question
    keys = list(task)
    if "id" not in keys:
        raise InvalidDataError(f"{name}: the answer cannot be told.", mend="Say with question what its tag is called.")
    first = keys.index("id") + 1
    last = min(keys.index(key) for key in _MIN_KEYS & task.keys())
    if last - first > 1:
        raise InvalidDataError(
            f"{name}: answers to {', '.join(keys[first:last])}.", mend="Say with question which one is the label."
        )
    return keys[first] if last > first else ""


def _export(reading: _Reading) -> LabelStudioExport:
    seen = [choice for chosen in reading.said.values() for choice in chosen]
    seen += [choice for choice, _ in reading.predicted.values()]
    classes = reading.classes or tuple(sorted(set(seen)))
    lines: list[tuple[str, str, str, float, str]] = []
    for (row_id, annotator), chosen in reading.said.items():
        source = f"{SOURCE}/annotator-{annotator}"
        lines += [(row_id, reading.column, choice, 1 / len(chosen), source) for choice in chosen]
    for (row_id, model), (choice, score) in reading.predicted.items():
        others = [name for name in classes if name != choice]
        # Nobody to give the rest to: the only class there is, is certain.
        shares = {choice: score if others else 1.0} | {name: (1 - score) / len(others) for name in others}
        source = f"{SOURCE}/prediction-{model}"
        lines += [(row_id, reading.column, name, share, source) for name, share in shares.items() if share > 0]
    votes = [(row, who, chosen[0]) for (row, who), chosen in reading.said.items() if len(chosen) == 1]
    labelled = {row_id for row_id, _ in reading.said}
    return LabelStudioExport(
        pd.DataFrame(lines, columns=["row_id", "column", "value", "probability", "source"]),
        pd.DataFrame(votes, columns=["row_id", "annotator", "value"]),
        tuple(row_id for row_id in reading.passed if row_id not in labelled),
    )
