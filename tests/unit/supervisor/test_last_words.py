"""What a dead process said last is found in its log, whatever form the log has."""

from __future__ import annotations

import contextlib
import logging

import pytest

from easeml.stream import logs
from easeml.supervisor.lastwords import last_words, size


@pytest.fixture
def log(tmp_path):
    return tmp_path / "serving.log"


@contextlib.contextmanager
def logging_to(path, form):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with path.open("a") as file, contextlib.redirect_stderr(file):
            logs.configure("serving", form)
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_last_error_is_found_behind_later_lines(log, form):
    with logging_to(log, form):
        logging.getLogger("easeml.stream.main").error("%s", "EASEML_SERVING_PORT: 127.0.0.1:1 is taken. Choose 0.")
        logging.getLogger("easeml.serving").info("closed")
    assert last_words(log) == "EASEML_SERVING_PORT: 127.0.0.1:1 is taken. Choose 0."


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_end_of_a_traceback_is_found(log, form):
    with logging_to(log, form):
        try:
            raise ValueError("a bug " * 30)
        except ValueError:
            logging.getLogger("easeml.stream.main").exception("the service failed")
    assert last_words(log).endswith(f"ValueError: {'a bug ' * 30}".strip())


def test_an_earlier_life_says_nothing(log):
    assert last_words(log) == ""
    assert last_words(log.with_name("none.log")) == ""
    log.write_text("ValueError: long ago\n")
    begun = size(log)
    assert last_words(log, begun) == ""
    with log.open("a") as file:
        file.write("printed as it is\n\n")
    assert last_words(log, begun) == "printed as it is"
