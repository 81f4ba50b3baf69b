"""The transformations under which neighbours are looked for, each a fit to rows and an application of that fit.

A fit is a dict of plain arrays, so that it can be stored, sent to another process and applied to rows that arrive
later. Labels are never looked at: an arm fitted to them would see the label it is asked to predict. Random Fourier
features are not among them, for distances in them are monotone in those of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from easeml.errors import InvalidDataError
from easeml.snoopy.inputs import Arrays, Floats, Inputs
from easeml.snoopy.neighbours import Vectors

Fit = Arrays
Fitter = Callable[[Inputs], Fit]
Applier = Callable[[Inputs, Fit], Vectors]

_FARTHEST = 1e6
"""A coordinate of a later row beyond this many spreads of the fitted rows tells nothing more."""
_QUANTILES = 1000
_WORDS = 20_000
_CONCEPTS = 128
_CONSTANT = 1e-9


@dataclass(frozen=True, slots=True)
class Transformation:
    """One transformation.

    Parameters
    ----------
    name : str
        What reports call it.
    fit : callable
        Inputs -> fit; at least one row.
    apply : callable
        Inputs, fit -> float64[n, d] or CSR matrix.
    """

    name: str
    fit: Fitter
    apply: Applier


def _spread(matrix: Floats) -> tuple[Floats, Floats]:
    mean, spread = matrix.mean(axis=0), matrix.std(axis=0)
    # A constant column has a spread of rounding errors only.
    return mean, np.where(spread > _CONSTANT * np.maximum(np.abs(mean), 1e-300), spread, np.inf)


def _shifted(matrix: Floats, fit: Fit) -> Floats:
    return np.asarray(np.clip((matrix - fit["shift"]) / fit["scale"], -_FARTHEST, _FARTHEST))


def _fit_range(inputs: Inputs) -> Fit:
    low = inputs.numbers.min(axis=0)
    width = inputs.numbers.max(axis=0) - low
    _, spread = _spread(inputs.numbers)
    return {"shift": low, "scale": np.where(np.isfinite(spread), width, np.inf)}


def _fit_standard(inputs: Inputs) -> Fit:
    mean, spread = _spread(inputs.numbers)
    return {"shift": mean, "scale": spread}


def _fit_pixels(inputs: Inputs) -> Fit:
    """One scale for all pixels: each has the same unit."""
    pixels = _images(inputs)
    scale = float(pixels.std())
    return {"shift": pixels.mean(axis=0), "scale": np.full(pixels.shape[1], scale if scale > _CONSTANT else np.inf)}


def _images(inputs: Inputs) -> Floats:
    return inputs.images if inputs.images is not None else np.empty((len(inputs), 0))


def _numbers_shifted(inputs: Inputs, fit: Fit) -> Floats:
    return _shifted(inputs.numbers, fit)


def _pixels_shifted(inputs: Inputs, fit: Fit) -> Floats:
    return _shifted(_images(inputs), fit)


def _axes(matrix: Floats, most: int | None) -> tuple[Floats, Floats]:
    """Return the principal axes of a centred matrix, float64[k, d], and the spread along each."""
    if matrix.shape[1] > 512 and most is not None:
        _, values, axes = randomized_svd(matrix, min(most, *matrix.shape), random_state=0)
    elif matrix.shape[0] >= matrix.shape[1]:
        squares, turned = np.linalg.eigh(matrix.T @ matrix)
        values, axes = np.sqrt(np.maximum(squares[::-1], 0.0)), turned[:, ::-1].T
    else:
        _, values, axes = np.linalg.svd(matrix, full_matrices=False)
    kept = values > 1e-6 * max(float(values.max(initial=0.0)), 1e-300)
    return axes[kept][:most], values[kept][:most] / np.sqrt(len(matrix))


def _fit_axes(inputs: Inputs, most: int | None, first: Callable[[Inputs], Fit], part: str, *, whiten: bool) -> Fit:
    fit = first(inputs)
    matrix = _shifted(inputs.numbers if part == "numbers" else _images(inputs), fit)
    centre = matrix.mean(axis=0)
    axes, spread = _axes(matrix - centre, most)
    return fit | {"axes": axes / spread[:, None] if whiten else axes, "centre": centre}


def _apply_axes(inputs: Inputs, fit: Fit, part: str) -> Floats:
    matrix = _shifted(inputs.numbers if part == "numbers" else _images(inputs), fit)
    return np.asarray((matrix - fit["centre"]) @ fit["axes"].T)


def _fit_rank(inputs: Inputs) -> Fit:
    share = np.linspace(0, 1, min(len(inputs), _QUANTILES))
    return {"quantiles": np.quantile(inputs.numbers, share, axis=0)}


def _apply_rank(inputs: Inputs, fit: Fit) -> Floats:
    """Return normal scores of ranks; equal values have the middle of their ranks."""
    quantiles = fit["quantiles"]
    share = np.linspace(0, 1, len(quantiles))
    edge = 0.5 / max(len(quantiles), 2)
    found = np.empty(inputs.numbers.shape)
    for column, values in enumerate(inputs.numbers.T):
        rising = np.interp(values, quantiles[:, column], share)
        falling = np.interp(-values, -quantiles[::-1, column], share)
        found[:, column] = ndtri(np.clip((rising + 1 - falling) / 2, edge, 1 - edge))
    return found


def _apply_raw_cosine(inputs: Inputs, fit: Fit) -> Floats:
    del fit  # directions need none
    return _directions(inputs.numbers)


def _apply_standard_cosine(inputs: Inputs, fit: Fit) -> Floats:
    return _directions(_shifted(inputs.numbers, fit))


def _directions(matrix: Floats) -> Floats:
    # The largest entry first: squares of large numbers overflow.
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0.0)
    scaled = matrix / np.where(largest > 0, largest, 1.0)
    norm = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(norm > 0, norm, 1.0))


def _texts(inputs: Inputs) -> list[str]:
    return [] if inputs.texts is None else inputs.texts.tolist()


def _vectorizer(analyzer: str, words: list[str] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(2, 4) if analyzer == "char_wb" else (1, 1),
        sublinear_tf=True,
        max_features=None if words is not None else _WORDS,
        vocabulary=words,
    )


def _fit_words(inputs: Inputs, analyzer: str) -> Fit:
    vectorizer = _vectorizer(analyzer)
    try:
        vectorizer.fit(_texts(inputs))
    except ValueError:  # raised when no row holds a word: every row is the same point then
        return _packed("words", [""]) | {"weights": np.zeros(1)}
    return _packed("words", vectorizer.get_feature_names_out().tolist()) | {"weights": vectorizer.idf_}


def _apply_words(inputs: Inputs, fit: Fit, analyzer: str) -> Vectors:
    vectorizer = _vectorizer(analyzer, _unpacked("words", fit))
    vectorizer.idf_ = fit["weights"]
    if not len(inputs):  # which scikit-learn refuses
        return sp.csr_matrix((0, len(fit["weights"])))
    found = vectorizer.transform(_texts(inputs))
    found.sort_indices()
    return found


def _fit_concepts(inputs: Inputs, analyzer: str) -> Fit:
    fit = _fit_words(inputs, analyzer)
    matrix = _apply_words(inputs, fit, analyzer)
    _, _, axes = randomized_svd(matrix, min(_CONCEPTS, *matrix.shape), random_state=0)
    return fit | {"axes": axes}


def _apply_concepts(inputs: Inputs, fit: Fit, analyzer: str) -> Floats:
    return _directions(np.asarray(_apply_words(inputs, fit, analyzer) @ fit["axes"].T))


def _fit_joint(inputs: Inputs) -> Fit:
    fit: Fit = {}
    for name, part in _parts(inputs).items():
        own = part.fit(inputs)
        size = float(np.sqrt((part.apply(inputs, own) ** 2).sum(axis=1).mean()))
        fit |= {f"{name}:{key}": value for key, value in own.items()}
        fit[f"{name}:size"] = np.array(size if size > _CONSTANT else np.inf)
    return fit


def _apply_joint(inputs: Inputs, fit: Fit) -> Floats:
    found = []
    for name, part in _parts(inputs).items():
        own = _part_of(fit, name)
        found.append(part.apply(inputs, own) / own["size"])
    return np.hstack(found)


def _parts(inputs: Inputs) -> dict[str, Transformation]:
    numbers, texts, images = inputs.widths
    wanted = {"standardised": numbers > 0, "TF-IDF + SVD": texts, "pixels PCA 32": images > 0}
    return {name: TRANSFORMATIONS[name] for name, there in wanted.items() if there}


def _table() -> dict[str, Transformation]:
    numbers = partial(_apply_axes, part="numbers")
    axes = partial(_fit_axes, first=_fit_standard, part="numbers", whiten=False)
    pixel_axes = partial(_fit_axes, first=_fit_pixels, part="images", whiten=False)
    rows: list[tuple[str, Fitter, Applier]] = [
        ("min-max", _fit_range, _numbers_shifted),
        ("standardised", _fit_standard, _numbers_shifted),
        *((f"PCA {most}", partial(axes, most=most), numbers) for most in (8, 16, 32)),
        ("whitened", partial(axes, most=None, whiten=True), numbers),
        ("rank-normal", _fit_rank, _apply_rank),
        ("cosine raw", lambda _: {}, _apply_raw_cosine),
        ("cosine standardised", _fit_standard, _apply_standard_cosine),
        ("TF-IDF cosine", partial(_fit_words, analyzer="word"), partial(_apply_words, analyzer="word")),
        ("TF-IDF + SVD", partial(_fit_concepts, analyzer="word"), partial(_apply_concepts, analyzer="word")),
        ("char n-grams", partial(_fit_concepts, analyzer="char_wb"), partial(_apply_concepts, analyzer="char_wb")),
        ("pixels", _fit_pixels, _pixels_shifted),
        *(
            (f"pixels PCA {most}", partial(pixel_axes, most=most), partial(_apply_axes, part="images"))
            for most in (8, 16, 32, 64)
        ),
        ("all parts", _fit_joint, _apply_joint),
    ]
    return {name: Transformation(name, fit, apply) for name, fit, apply in rows}


TRANSFORMATIONS: dict[str, Transformation] = _table()
"""Every transformation by its name."""


def chosen(names: str | tuple[str, ...], inputs: Inputs) -> tuple[str, ...]:
    """Return the names of the transformations for rows like ``inputs``; "auto": all that fit them.

    Raises
    ------
    InvalidDataError
        When a name is unknown, or there is nothing to transform.
    """
    if names != "auto":
        wanted = (names,) if isinstance(names, str) else tuple(names)
        unknown = [name for name in wanted if name not in TRANSFORMATIONS]
        if unknown or not wanted:
            raise InvalidDataError(
                f"Unknown transformation {unknown[0]!r}." if unknown else "No transformation is named.",
                mend=f"Transformations are {', '.join(TRANSFORMATIONS)}.",
            )
        return tuple(dict.fromkeys(wanted))
    numbers, texts, images = inputs.widths
    found = ["min-max", "standardised"] if numbers else []
    found += [f"PCA {most}" for most in (8, 16, 32) if numbers > most]
    found += ["whitened", "rank-normal", "cosine raw", "cosine standardised"] if numbers > 1 else []
    found += ["TF-IDF cosine", "TF-IDF + SVD", "char n-grams"] if texts else []
    found += ["pixels"] if images else []
    found += [f"pixels PCA {most}" for most in (8, 16, 32, 64) if images > most]
    found += ["all parts"] if (numbers > 0) + texts + (images > 0) > 1 else []
    if not found:
        raise InvalidDataError("There are no feature columns.", mend="Give at least one besides the label.")
    return tuple(found)


def _packed(name: str, words: Sequence[str]) -> Arrays:
    """Return strings as plain arrays: their UTF-8 bytes, and where each ends."""
    coded = [word.encode() for word in words]
    return {
        name: np.frombuffer(b"".join(coded), np.uint8),
        f"{name}_ends": np.cumsum([len(word) for word in coded], dtype=np.int64),
    }


def _unpacked(name: str, arrays: Arrays) -> list[str]:
    """Return the strings that ``_packed`` made arrays of."""
    content = arrays[name].tobytes()
    ends = arrays[f"{name}_ends"].tolist()
    return [content[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]


def _part_of(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose names begin with a prefix and a colon, without these."""
    return {key[len(prefix) + 1 :]: part for key, part in arrays.items() if key.startswith(f"{prefix}:")}
