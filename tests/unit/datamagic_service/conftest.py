import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from datamagic_town import Town


@pytest.fixture
def town():
    return Town()
