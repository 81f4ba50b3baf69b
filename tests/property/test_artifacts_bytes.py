"""Any damage to a model file ends in ArtifactError or leaves the model as it was; never in another exception."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easeml.artifacts import Classifier, Encoder, dump, load
from easeml.artifacts.frozen import FrozenLinear
from easeml.errors import ArtifactError
from easeml.stream.payloads import Column, ColumnKind

FRAME = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
MODEL = Classifier(
    Encoder().fit(FRAME, (Column("x", ColumnKind.NUMERIC),)),
    FrozenLinear(np.array([0, 1]), np.array([[1.0], [-1.0]]), np.zeros(2)),
    ("a", "b"),
)
DATA = dump(MODEL)


@given(st.binary(max_size=2000))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_refused_in_words(data):
    with pytest.raises(ArtifactError) as caught:
        load(data)
    assert caught.value.mend


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_changed_byte_never_escapes_as_another_error(place, change):
    data = bytearray(DATA)
    data[place] ^= change
    try:
        model = load(bytes(data))
    except ArtifactError:
        return
    np.testing.assert_array_equal(model.predict_proba(FRAME), MODEL.predict_proba(FRAME))
