"""From a typed data frame to one matrix of numbers, learnt on the training rows.

One class instead of a tree of column transformers: its file is small, and because all models of one
data version learn the same encoder, serving encodes a batch once for all of them (``fingerprint``).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer

from easeml.artifacts.arrays import is_count, is_finite, is_indices, is_texts, need
from easeml.errors import InvalidDataError
from easeml.stream.payloads import Column, ColumnKind

Matrix = NDArray[np.float64]

_SETTINGS: dict[str, Any] = {"sublinear_tf": True}
"""Of every vectorizer, beside how many words it keeps."""

LARGEST = 1e100  # squares of it still fit a float64
FARTHEST = 1e6  # standard deviations; fits a float32, in which trees compare
NUMBERS = frozenset({ColumnKind.NUMERIC, ColumnKind.BOOLEAN, ColumnKind.DATETIME})


class Encoder:
    """Typed frame -> matrix.

    Numbers, booleans and instants: the median replaces what is missing, then mean 0 and variance 1; a column that
    missed values in training also gets a 0/1 column that says so. Categories: one 0/1 column for each of the
    ``max_categories`` most frequent ones; a rare, new or missing value is all zeros. Text: TF-IDF of the
    ``max_words`` most frequent words. Tensors: each item is a number.

    Parameters
    ----------
    max_categories : int
        0/1 columns per categorical column at most.
    max_words : int
        Columns per text column at most.

    Examples
    --------
    >>> import pandas as pd
    >>> from easeml.stream.payloads import Column, ColumnKind
    >>> columns = (Column("age", ColumnKind.NUMERIC), Column("city", ColumnKind.CATEGORICAL))
    >>> frame = pd.DataFrame({"age": [1.0, float("nan"), 3.0], "city": ["Zug", "Bern", None]})
    >>> Encoder().fit(frame, columns).transform(frame).shape
    (3, 4)
    """

    columns: list[str]
    kinds: list[str]
    fingerprint: str

    def __init__(self, max_categories: int = 32, max_words: int = 1000) -> None:
        self.max_categories = max_categories
        self.max_words = max_words

    def fit(self, frame: pd.DataFrame, columns: tuple[Column, ...]) -> Self:
        """Learn medians, scales, categories and words.

        Parameters
        ----------
        frame : DataFrame, n rows
            Training rows.
        columns : tuple of Column
            Columns to use, with their kinds.

        Raises
        ------
        InvalidDataError
            When the frame lacks a column or no column remains to learn from.
        """
        self.columns = [str(column.name) for column in columns]
        self.kinds = [column.kind.value for column in columns]
        self._check(frame)
        self.categories = {c.name: self._frequent(frame[c.name]) for c in columns if c.kind is ColumnKind.CATEGORICAL}
        self.words = {c.name: self._vectorizer(frame[c.name]) for c in columns if c.kind is ColumnKind.TEXT}
        numbers = self._numbers(frame)
        missing = np.isnan(numbers)
        self.indicators = np.flatnonzero(missing.any(axis=0))
        self.medians = np.zeros(numbers.shape[1])
        for column in range(numbers.shape[1]):
            known = numbers[~missing[:, column], column]
            self.medians[column] = np.median(known) if len(known) else 0.0
        filled = np.where(missing, self.medians, numbers)
        self.means = filled.mean(axis=0)
        scale = filled.std(axis=0)
        # A constant column has a spread of rounding errors only; dividing by that would blow up a new value.
        self.scales = np.where(scale > 1e-9 * np.maximum(np.abs(self.means), 1e-300), scale, 1.0)
        self.fingerprint = self._digest()
        if not self.width:
            raise InvalidDataError(
                "No feature column holds anything to learn from.",
                mend="Check the app's columns: each needs numbers, known categories or words in the training rows.",
            )
        return self

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        hot = sum(map(len, self.categories.values()))
        words = sum(len(v.vocabulary_) for v in self.words.values() if v is not None)
        return len(self.medians) + len(self.indicators) + hot + words

    def transform(self, frame: pd.DataFrame) -> Matrix:
        """Return the matrix of ``frame``.

        Returns
        -------
        float64[n, width], finite

        Raises
        ------
        InvalidDataError
            When the frame lacks a column.
        """
        self._check(frame)
        if not len(frame):
            return np.zeros((0, self.width))
        numbers = self._numbers(frame)
        if numbers.shape[1] != len(self.medians):
            raise InvalidDataError(
                f"The rows hold {numbers.shape[1]} numbers each, the model was trained on {len(self.medians)}.",
                mend="Send tensors of the shape that the app defines.",
            )
        missing = np.isnan(numbers)
        scaled = (np.where(missing, self.medians, numbers) - self.means) / self.scales
        blocks = [np.clip(scaled, -FARTHEST, FARTHEST)]
        if len(self.indicators):
            blocks.append(missing[:, self.indicators].astype(np.float64))
        for name, known in self.categories.items():
            codes = _codes(frame[name], known)
            blocks.append((codes[:, None] == np.arange(len(known))).astype(np.float64))
        for name, vectorizer in self.words.items():
            if vectorizer is not None:
                blocks.append(vectorizer.transform(_texts(frame[name])).toarray())
        return np.ascontiguousarray(np.hstack(blocks))

    def validate(self) -> None:
        """Check an encoder that was read from a file: that its parts fit each other, and that it reads cells alone.

        Raises
        ------
        ArtifactError
            When they do not.
        """
        need(
            is_texts(self.columns)
            and type(self.kinds) is list
            and len(self.kinds) == len(self.columns)
            and set(self.kinds) <= set(ColumnKind),
            "holds an encoder that does not name its columns and their kinds",
        )
        named = list(zip(self.columns, self.kinds, strict=True))
        categories = [name for name, kind in named if kind == ColumnKind.CATEGORICAL]
        need(
            type(self.categories) is dict
            and list(self.categories) == categories
            and all(map(is_texts, self.categories.values())),
            "holds an encoder whose categories are not those of its columns",
        )
        texts = [name for name, kind in named if kind == ColumnKind.TEXT]
        need(type(self.words) is dict and list(self.words) == texts, "reads other texts than those of its columns")
        for vectorizer in self.words.values():
            if vectorizer is not None:
                _check_vectorizer(vectorizer)
        self._check_numbers()
        # Models with one fingerprint share their encoded rows, so it must not be another encoder's.
        need(self.fingerprint == self._digest(), "holds an encoder with the fingerprint of another")

    def _check_numbers(self) -> None:
        count, numbers = len(self.medians), sum(kind in NUMBERS for kind in self.kinds)
        need(
            (count > numbers if ColumnKind.TENSOR in self.kinds else count == numbers)
            and is_finite(self.medians, count)
            and is_finite(self.means, count)
            and is_finite(self.scales, count)
            and bool((self.scales > 0).all())
            and is_indices(self.indicators, None, count)
            and bool((np.diff(self.indicators) > 0).all())
            and self.width > 0,
            "holds an encoder whose numbers do not fit its columns",
        )

    def _check(self, frame: pd.DataFrame) -> None:
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            raise InvalidDataError(
                f"The rows lack the column{'s' if len(absent) > 1 else ''} {', '.join(map(repr, absent))}.",
                mend="Send every column of the app; a missing value is NaN or null.",
            )

    def _numbers(self, frame: pd.DataFrame) -> Matrix:
        blocks = []
        for name, kind in zip(self.columns, self.kinds, strict=True):
            if kind in NUMBERS:
                blocks.append(_floats(frame[name])[:, None])
            elif kind == ColumnKind.TENSOR:
                items = [np.asarray(value, np.float64).ravel() for value in frame[name]]
                blocks.append(np.array(items).reshape(len(items), -1) if items else np.empty((0, len(self.medians))))
        matrix = np.hstack(blocks) if blocks else np.empty((len(frame), 0))
        return np.clip(np.where(np.isfinite(matrix), matrix, np.nan), -LARGEST, LARGEST)

    def _frequent(self, series: pd.Series[Any]) -> list[str]:
        values = pd.Series([str(v) for v in series if not _absent(v)], dtype=object)
        counts = sorted(values.value_counts().items(), key=lambda pair: (-pair[1], str(pair[0])))
        return [str(value) for value, _ in counts[: self.max_categories]]

    def _vectorizer(self, series: pd.Series[Any]) -> TfidfVectorizer | None:
        vectorizer = TfidfVectorizer(max_features=self.max_words, **_SETTINGS)
        try:
            vectorizer.fit(_texts(series))
        except ValueError:  # raised when no row holds a word: the column says nothing
            return None
        # numpy integers as values would become one array file each.
        vectorizer.vocabulary_ = {word: int(index) for word, index in vectorizer.vocabulary_.items()}
        return vectorizer

    def _digest(self) -> str:
        words = {name: v and [sorted(v.vocabulary_.items()), v.idf_.tolist()] for name, v in self.words.items()}
        document = json.dumps([self.columns, self.kinds, self.categories, words, self.indicators.tolist()])
        arrays = b"".join(part.tobytes() for part in (self.medians, self.means, self.scales))
        return hashlib.sha256(document.encode() + arrays).hexdigest()


def _check_vectorizer(vectorizer: TfidfVectorizer) -> None:
    """Check a vectorizer of a file: another setting would open cells as files or search in them for ever."""
    need(
        type(vectorizer) is TfidfVectorizer
        and type(vectorizer._tfidf) is TfidfTransformer
        and _is_set_as(
            vectorizer, TfidfVectorizer(**_SETTINGS), {"vocabulary_", "fixed_vocabulary_", "_stop_words_id", "_tfidf"}
        )
        and _is_set_as(vectorizer._tfidf, TfidfTransformer(**_SETTINGS), {"idf_", "n_features_in_"}),
        "reads text in another way than ours",
    )
    columns, weights = vectorizer.vocabulary_, vectorizer._tfidf
    places = list(columns.values())
    need(
        type(columns) is dict
        and all(type(word) is str for word in columns)
        and all(type(place) is int for place in places)
        and sorted(places) == list(range(len(places)))
        and len(places) > 0
        and is_count(weights.n_features_in_, len(places))
        and is_finite(weights.idf_, len(places)),
        "reads text into columns that do not exist",
    )


def _is_set_as(held: Any, ours: Any, fitted: set[str]) -> bool:
    """Return whether an object has the attributes of ``ours``, with their values, and fitted ones only beside them."""
    settings, found = vars(ours), vars(held)
    same = (
        type(found[name]) is type(value) and found[name] == value
        for name, value in settings.items()
        if name not in {"max_features", *fitted}
    )
    return found.keys() <= settings.keys() | fitted and all(same)


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _floats(series: pd.Series[Any]) -> Matrix:
    if series.dtype.kind == "M":
        values = series.to_numpy("datetime64[ns]")
        return np.where(np.isnat(values), np.nan, values.astype(np.int64) / 1e9)
    try:
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"The column {series.name!r} holds something that is not a number: {error}.",
            mend="Send numbers, or define the column as categorical or text.",
        ) from error


def _codes(series: pd.Series[Any], known: list[str]) -> NDArray[np.intp]:
    """Return the index of each value in ``known``, -1 for any other."""
    place = {value: index for index, value in enumerate(known)}
    if isinstance(series.dtype, pd.CategoricalDtype):
        lookup = np.array([place.get(str(value), -1) for value in series.cat.categories] + [-1])
        return np.asarray(lookup[series.cat.codes.to_numpy()])
    return np.array([-1 if _absent(value) else place.get(str(value), -1) for value in series], np.intp)


def _texts(series: pd.Series[Any]) -> list[str]:
    return ["" if _absent(value) else str(value) for value in series]
