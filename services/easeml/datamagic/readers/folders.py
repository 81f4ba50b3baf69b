"""Folders with one sub-folder per class: texts (also PDF and DOCX) or images.

A folder without sub-folders holds unlabelled examples. Files that begin with a dot and those that operating systems
leave behind are passed over; a row is named by its path inside the folder.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.readers.account import Account, Options
from easeml.datamagic.readers.documents import DOCUMENTS, document_text
from easeml.datamagic.readers.encodings import decoded
from easeml.datamagic.readers.sources import Source
from easeml.errors import InvalidDataError

TEXTS = (".txt", ".text", ".md", ".eml", ".log")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MOST_PIXELS = 50_000_000
"""Pixels of one image: a few bytes can declare more than a memory holds."""
MOST_NUMBERS = 500_000_000
"""Numbers of all images together."""
MOST_BYTES = 64 << 20
"""Bytes of one text."""
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx", ".arrow", ".feather")


def kind_of(folder: Path) -> str:
    """Return ``images`` or ``texts``, by what most files of a folder are.

    Raises
    ------
    InvalidDataError
        When it has neither.
    """
    files = _files(folder)
    images = sum(path.suffix.lower() in IMAGES for path in files)
    texts = sum(path.suffix.lower() in (*TEXTS, *DOCUMENTS) for path in files)
    if images or texts:
        return "images" if images > texts else "texts"
    tables = [path.name for path in files if path.suffix.lower() in _TABLES]
    if tables:
        raise InvalidDataError(
            f"{folder} is a folder of tables: {', '.join(tables[:8])}.", mend="Give one of them, not the folder."
        )
    raise InvalidDataError(
        f"{folder} has no texts and no images.",
        mend=f"Put one sub-folder per class into it, with files like {', '.join((*TEXTS[:1], *IMAGES[:2]))}.",
    )


def texts(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames with the columns ``text`` and the label; their index is the file.

    Raises
    ------
    InvalidDataError
        When the folder has no such files or one is not readable; names it.
    """
    folder, found = _examples(source, (*TEXTS, *DOCUMENTS), options, account)
    for start in range(0, len(found), rows):
        names, cells, labels = [], [], []
        for path, label in found[start : start + rows]:
            name = path.relative_to(folder).as_posix()
            try:
                cells.append(_text(path, name, options))
            except InvalidDataError as error:
                account.refuse(options, name, error.message.rstrip("."), mend=error.mend)
                continue
            names.append(name)
            labels.append(label)
        _progress(options, min(start + rows, len(found)), len(found))
        account.rows += len(names)
        yield _frame("text", pd.Series(cells, dtype="str"), labels, names, options)


def _text(path: Path, name: str, options: Options) -> str | None:
    content = Source.of(path, name=name).content(MOST_BYTES)
    if path.suffix.lower() in DOCUMENTS:
        return document_text(content, name)
    return decoded(content, name, options.encoding)[0].strip() or None


def images(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames with the columns ``image`` (height x width x colours, 0 to 1) and the label.

    All images are grey, without the last axis, when none has a colour. Without a size, they must have one already.

    Raises
    ------
    InvalidDataError
        When the folder has no images, one is not readable or too large, or they differ in size; names it.
    """
    folder, found = _examples(source, IMAGES, options, account)
    shapes = {}
    for path, _ in list(found):
        try:
            shapes[path] = _shape(path, path.relative_to(folder).as_posix())
        except InvalidDataError as error:
            account.refuse(options, path.relative_to(folder).as_posix(), error.message.rstrip("."), mend=error.mend)
    found = [(path, label) for path, label in found if path in shapes]
    if not found:
        return
    colour = any(shapes[path][2] for path, _ in found)
    size = options.size or _only_size(folder, shapes)
    numbers = len(found) * size[0] * size[1] * (3 if colour else 1)
    if numbers > MOST_NUMBERS:
        raise InvalidDataError(
            f"{source.name}: {len(found):,} images of {size[0]} x {size[1]} make {numbers:,} numbers.",
            mend="Give a smaller size.",
        )
    account.facts["images"] = f"{size[0]} x {size[1]}, {'3 colours' if colour else 'grey'}"
    for start in range(0, len(found), rows):
        names, cells, labels = [], [], []
        for path, label in found[start : start + rows]:
            name = path.relative_to(folder).as_posix()
            try:
                cells.append(_pixels(path, name, size, colour=colour))
            except InvalidDataError as error:
                account.refuse(options, name, error.message.rstrip("."), mend=error.mend)
                continue
            names.append(name)
            labels.append(label)
        _progress(options, min(start + rows, len(found)), len(found))
        column = np.empty(len(cells), object)
        for place, cell in enumerate(cells):
            column[place] = cell
        account.rows += len(names)
        yield _frame("image", pd.Series(column), labels, names, options)


def _progress(options: Options, done: int, total: int) -> None:
    if options.progress is not None:
        options.progress(done, total, "files")


def _frame(name: str, cells: pd.Series, labels: list[str | None], files: list[str], options: Options) -> pd.DataFrame:
    index = pd.Index(files, dtype=object, name="file")
    label = pd.Series(labels, index, dtype="str")
    if label.isna().all():
        return pd.DataFrame({name: cells.to_numpy()}, index=index)
    return pd.DataFrame({name: cells.set_axis(index), options.label: label}, index=index)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") or part.lower() in _LITTER for part in path.relative_to(folder).parts)
    )


def _examples(
    source: Source, endings: tuple[str, ...], options: Options, account: Account
) -> tuple[Path, list[tuple[Path, str | None]]]:
    """Return the folder, and its files with their classes."""
    folder = source.path
    if folder is None or not folder.is_dir():
        raise InvalidDataError(f"{source.name} is no folder.", mend="Give a folder with one sub-folder per class.")
    every = _files(folder)
    files = [path for path in every if path.suffix.lower() in endings]
    if not files:
        raise InvalidDataError(f"{folder} has no files like {', '.join(endings[:4])}.", mend="Check the folder.")
    if len(files) < len(every):
        others = sorted({path.suffix.lower() or path.name for path in every} - set(endings))
        account.note(f"{len(every) - len(files)} files of other kinds passed over ({', '.join(others[:6])})")
    labels = [path.relative_to(folder).parts[0] if path.parent != folder else None for path in files]
    if any(labels) and not all(labels):
        stray = files[labels.index(None)]
        account.refuse(
            options,
            stray.name,
            "lies beside the folders of the classes",
            mend="Put every file into the folder of its class, or all into one folder without classes.",
        )
    classes = sorted({label for label in labels if label})
    if classes:
        account.facts["classes"] = ", ".join(classes[:12]) + (f" and {len(classes) - 12} more" * (len(classes) > 12))
    pairs = list(zip(files, labels, strict=True))
    return folder, [pair for pair in pairs if pair[1] is not None or not classes]


def _only_size(folder: Path, shapes: dict[Path, tuple[int, int, bool]]) -> tuple[int, int]:
    first = next(iter(shapes))
    size = shapes[first][:2]
    for path, shape in shapes.items():
        if shape[:2] != size:
            one, other = (item.relative_to(folder).as_posix() for item in (first, path))
            raise InvalidDataError(
                f"{one} has {size[0]} x {size[1]} pixels and {other} has {shape[0]} x {shape[1]}.",
                mend="Give the height and width that all shall have, e.g. size=(32, 32) or --size 32x32.",
                reason="uneven_arrays",
            )
    return size


def _library() -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InvalidDataError(
            f"Images need another package ({error}).", mend="Install easeml-streaming[documents]."
        ) from error
    return Image


def _opened(path: Path, name: str) -> Any:
    image = _library()
    try:
        with warnings.catch_warnings():
            # Its warning about size is our error, below.
            warnings.simplefilter("ignore", image.DecompressionBombWarning)
            opened = image.open(path)
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise InvalidDataError(f"{name} is no readable image: {error}.", mend="Replace or remove it.") from error
    width, height = opened.size
    if width * height > MOST_PIXELS:
        opened.close()
        raise InvalidDataError(
            f"{name} declares {width:,} x {height:,} pixels, more than {MOST_PIXELS:,}.",
            mend="Make it smaller.",
            reason="expansion",
        )
    return opened


def _shape(path: Path, name: str) -> tuple[int, int, bool]:
    """Return height, width and whether it has colours, without its pixels."""
    with _opened(path, name) as opened:
        width, height = opened.size
        return height, width, opened.mode not in {"1", "L", "I", "F", "I;16", "LA"}


def _pixels(path: Path, name: str, size: tuple[int, int], *, colour: bool) -> NDArray[np.float64]:
    image = _library()
    try:
        with _opened(path, name) as opened:
            deep = opened.mode in {"I", "I;16", "F"}
            if deep:
                raw = np.asarray(opened, np.float64)
                grey = raw / (65535.0 if opened.mode != "F" and raw.max() > 255 else 255.0)
                opened = image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))  # noqa: PLW2901 - the same image
            picture = opened.convert("RGB" if colour else "L")
            if picture.size != (size[1], size[0]):
                picture = picture.resize((size[1], size[0]), image.Resampling.BILINEAR)
            return np.asarray(picture, np.float64) / 255.0
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidDataError(f"{name} is no readable image: {error}.", mend="Replace or remove it.") from error
