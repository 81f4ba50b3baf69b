"""What a user reads when the broker refuses an event."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from easeml.errors import InvalidDataError, PermissionDeniedError, UnavailableError
from easeml.ids import EventId
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher, _refusal
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, TICKS


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, PermissionDeniedError, "write access"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, UnavailableError, "topic does not exist"),
        (KafkaError._MSG_TIMED_OUT, UnavailableError, "3 events could not be delivered"),
    ],
)
def test_refusals_say_what_and_how_to_mend(code, kind, text):
    error = _refusal(KafkaError(code), 3)
    assert isinstance(error, kind)
    assert text in str(error)
    assert error.mend


def test_wrong_payloads_and_large_events_never_leave():
    publisher = EventPublisher(Settings.load(bootstrap_servers="127.0.0.1:1", max_message_bytes=10_000), "test", 0.1)
    with pytest.raises(InvalidDataError, match=r"easeml\.apps\.v1 does not carry Tick"):
        publisher.send(APPS, Tick(1, 0.0))
    publisher.send(TICKS, Tick(1, 0.0), event_id=EventId("x"), partition=0)
    with pytest.raises(UnavailableError, match=r"could not be delivered|not acknowledged"):
        publisher.flush()
