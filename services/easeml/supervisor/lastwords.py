"""What a process that died had to say: the end of its log, without the decoration."""

from __future__ import annotations

import json
import re
from pathlib import Path

_TAIL = 64 * 1024
_LINE = re.compile(r"^\S+ \[(?P<level>\w+) *\] (?P<text>.*?)(?: +\[[\w.]+\](?: +\w+=\S+)*)?\s*$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_GRAVE = frozenset({"error", "critical"})


def size(log: Path) -> int:
    """Return the length of a log in bytes, 0 when there is none."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def last_words(log: Path, since: int = 0) -> str:
    """Return the last error that a process wrote to its log, "" when it wrote nothing.

    Parameters
    ----------
    log : Path
        Its log, in either form of ``EASEML_LOG_FORMAT``.
    since : int
        Length of the log in bytes when the process began.

    Returns
    -------
    str
        A plain last line (the end of a traceback, what was printed) as it is; else the text of the last line that is
        an error; else that of the last line.
    """
    end = size(log)
    if end <= since:
        return ""
    with log.open("rb") as file:
        file.seek(max(since, end - _TAIL))
        text = file.read().decode(errors="replace")
    lines = [line for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    said = [_parse(line) for line in lines]
    if not said:
        return ""
    if not said[-1][0]:
        return said[-1][1]
    return next((words for level, words in reversed(said) if level in _GRAVE), said[-1][1])


def _parse(line: str) -> tuple[str, str]:
    """Return level and text of a line; no level when it is no line of our logs."""
    if line.startswith("{"):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            return "", line.strip()
        trace = str(entry.get("exception", "")).strip().splitlines()
        return str(entry.get("level", "")), ": ".join([str(entry.get("event", "")), *trace[-1:]])
    found = _LINE.match(line)
    return (found["level"], found["text"].strip()) if found else ("", line.strip())
