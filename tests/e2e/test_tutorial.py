"""The tutorial notebook, from top to bottom, in a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import easeml.notebook

TUTORIAL = Path(easeml.notebook.__file__).with_name("tutorial.ipynb")
CARDS = ("what is possible", "models", "verdicts", "picks", "the eight steps")

pytestmark = pytest.mark.slow


@pytest.mark.timeout(180)  # the promise: a reader who runs it waits less than three minutes
def test_the_tutorial_runs_from_top_to_bottom(tmp_path):
    notebook = nbformat.read(TUTORIAL, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # what it shows comes from running it
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=150, kernel_name="python3", resources=resources).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    pages = [out["data"].get("text/html", "") for out in outputs if "data" in out]
    for title in CARDS:
        assert any(f"segments: {title}</h4>" in page for page in pages), title
    assert any("easeml-r" in page for page in pages)  # the relation drew itself
    assert not any("<script" in page for page in pages)
    told = "".join(out.get("text", "") for out in outputs)
    right = int(told.partition(" of 300 predictions were right")[0].split()[-1])
    assert right > 200
