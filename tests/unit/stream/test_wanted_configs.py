"""How topics are kept."""

import pytest

from easeml.stream.admin import wanted_configs
from easeml.stream.settings import Settings
from easeml.supervisor.roster import SERVICES


@pytest.mark.parametrize("limit", [10_000, 1_000_000, 100_000_000])
def test_segments_of_compacted_topics_are_small_and_hold_the_largest_message(limit):
    wanted = wanted_configs(Settings(max_message_bytes=limit), SERVICES)
    compacted = [config for config in wanted.values() if config["cleanup.policy"] == "compact"]
    assert len(compacted) > len(SERVICES)
    for config in compacted:
        assert int(config["max.message.bytes"]) <= int(config["segment.bytes"]) <= 2 * max(limit, 2**25)
