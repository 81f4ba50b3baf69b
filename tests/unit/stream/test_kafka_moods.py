"""What Apache Kafka says that the embedded broker never does: it is waited for, or ends the service."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from easeml.errors import UnavailableError
from easeml.stream import bulk, reader
from easeml.stream.inbox import Inbox
from easeml.stream.settings import Settings

PLACE = ("easeml.apps.v1", 0)


class Consumer:
    """Tells its offsets after some refusals."""

    def __init__(self, *codes):
        self.codes = list(codes)

    def get_watermark_offsets(self, _place, timeout):
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return 3, 7


def test_a_partition_without_a_leader_is_asked_again(monkeypatch):
    monkeypatch.setattr(bulk, "_RETRY", 0.0)
    consumer = Consumer(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert bulk.bounds_of(consumer, [PLACE]) == {PLACE: (3, 7)}
    monkeypatch.setattr(bulk, "TIMEOUT", -1.0)
    for code in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART):
        with pytest.raises(UnavailableError, match=r"offsets of easeml.apps.v1\[0\]"):
            bulk.bounds_of(Consumer(code), [PLACE])


class Admin:
    """Lists offsets after some refusals, if it is told each time to look who leads now."""

    def __init__(self, *codes):
        self.codes = list(codes)
        self.is_stale = False

    def list_topics(self, timeout):
        self.is_stale = False

    def list_offsets(self, asked, request_timeout):
        assert not self.is_stale
        future = Future()
        self.is_stale = bool(self.codes)
        if self.codes:
            future.set_exception(KafkaException(KafkaError(self.codes.pop(0))))
        else:
            future.set_result(SimpleNamespace(offset=7))
        return dict.fromkeys(asked, future)


def test_the_ends_of_partitions_without_a_leader_are_asked_again(monkeypatch):
    monkeypatch.setattr(reader, "_RETRY", 0.0)
    client = Admin(KafkaError._NOENT, KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION)
    assert reader.offsets(client, [PLACE], reader._LATEST) == {PLACE: 7}
    monkeypatch.setattr(reader, "_TIMEOUT", -1.0)
    for code in (KafkaError._NOENT, KafkaError.TOPIC_AUTHORIZATION_FAILED):
        with pytest.raises(UnavailableError, match="does not tell its offsets"):
            reader.offsets(Admin(code), [PLACE], reader._LATEST)


class Message:
    def __init__(self, code):
        self.code = code

    def error(self):
        return KafkaError(self.code)

    def topic(self):
        return None


def test_a_member_that_is_fenced_off_ends_its_service():
    nothing = {name: lambda *_: None for name in ("assign", "revoke", "deliver", "fail")}
    inbox = Inbox(Settings.load(bootstrap_servers="127.0.0.1:9"), "ci", "ci-here", [PLACE[0]], **nothing)
    try:
        assert not inbox._sound(Message(KafkaError._TRANSPORT))
        with pytest.raises(UnavailableError, match="Reading the inputs failed"):
            inbox._sound(Message(KafkaError._FATAL))
    finally:
        inbox.close()
