"""A bar is drawn where somebody looks, and nowhere else."""

import io

from rich.console import Console

from easeml.progress import bar


def drawn(**options):
    console = Console(file=io.StringIO(), width=60, **options)
    with bar("rows", console) as progress:
        progress(3, 10, "rows read")
    return console.file.getvalue()


def test_a_terminal_sees_what_is_counted():
    assert "rows read" in drawn(force_terminal=True, force_interactive=True)


def test_a_file_sees_nothing():
    assert not drawn().strip()


def test_a_notebook_without_widgets_sees_nothing(monkeypatch):
    monkeypatch.setattr("easeml.progress.find_spec", lambda name: None)
    assert not drawn(force_jupyter=True, force_terminal=True).strip()
