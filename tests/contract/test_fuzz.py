"""A slice of ``make fuzz``: damaged messages are given up as the schemas say, and never crash or hang a service."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from avro_rules import Unfit, walk
from damage import LONGS
from episodes import fuzz

from easeml.errors import SchemaError
from easeml.stream import codec, schemas
from easeml.stream.blocks import write_long

GOLDEN = sorted(path for path in schemas.folder().joinpath("golden").iterdir() if path.name.endswith(".bin"))
INPUTS = 240


def test_damaged_messages_are_given_up_as_the_schemas_say(room, recording):
    tally = fuzz(room, recording, INPUTS)
    assert tally.faults == []
    assert (tally.inputs, tally.crashes, tally.hangs) == (INPUTS, 0, 0)
    assert tally.letters == sum(count for outcome, count in tally.outcomes.items() if outcome != "accepted")
    assert tally.letters > INPUTS // 2


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_count_that_lies_costs_no_memory(path):
    """Whatever a count or a length claims: what it costs is bounded by the message, and rule and codec agree."""
    raw = path.read_bytes()
    codec.decode(raw)  # compiles its schema
    document = schemas.released()[int.from_bytes(raw[1:5])].document
    for start, end in walk(raw, document, 5).counts:
        for claim in LONGS:
            lie = raw[:start] + write_long(claim) + raw[end:]
            tracemalloc.start()
            try:
                taken = decodes(lie)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 100_000 + 100 * len(raw)
            assert taken == fits(lie, document), lie.hex()


def decodes(raw):
    try:
        codec.decode(raw)
    except SchemaError:
        return False
    return True


def fits(raw, document):
    try:
        return walk(raw, document, 5).end == len(raw)
    except Unfit:
        return False
