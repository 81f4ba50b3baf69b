from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "labels"))

from labels_stack import LabelStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with LabelStack(tmp_path_factory.mktemp("outside")) as stack:
        yield stack
