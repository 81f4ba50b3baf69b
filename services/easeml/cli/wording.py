"""Messages of the SDK in the words of the command line: options instead of arguments, values without their types."""

from __future__ import annotations

import re

_WORDS = (
    (re.compile(r"\bnp\.\w+\(([^()]*)\)"), r"\1"),
    (re.compile(r"\bday_first=True or False"), "--day-first or --month-first"),
    (re.compile(r"\bheader=True"), "--header"),
    (re.compile(r"\bthe option (\w+)"), r"--\1"),
    (re.compile(r",? or normalize=True"), ""),
    (re.compile(r", or eval\(parameters=\{[^}]*\}\)"), ""),
    (re.compile(r"\bsteps=(\d+)"), r"--steps \1 (easeml apps update)"),
    (re.compile(r"\bclient\.upload\b"), "'easeml upload'"),
)


def worded(text: str) -> str:
    """Return a message as the command line says it.

    >>> worded("np.float64(inf) is no number; say day_first=True or False.")
    'inf is no number; say --day-first or --month-first.'
    """
    for python, words in _WORDS:
        text = python.sub(words, text)
    return text
