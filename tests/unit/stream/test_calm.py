"""An outage is told once and once a minute; other things are told as ever."""

import logging

from easeml.stream.calm import Calm


def said(calm, clock, at, text, *arguments, name="easeml.kafka"):
    clock[0] = at
    record = logging.LogRecord(name, logging.ERROR, __file__, 1, text, arguments, None)
    return record.getMessage() if calm.filter(record) else None


def test_an_outage_is_told_once_and_once_a_minute():
    clock = [0.0]
    calm = Calm(lambda: clock[0])
    refused = "FAIL [rdkafka#consumer-%d]: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after %dms)"
    told = [text for n in range(1300) if (text := said(calm, clock, n / 10, refused, n % 3, n))]
    assert told[0] == refused % (0, 0)
    assert len(told) == 3
    assert "600 lines like it in the last minute" in told[1]


def test_the_next_outage_is_told_again():
    clock = [0.0]
    calm = Calm(lambda: clock[0])
    assert said(calm, clock, 0.0, "Disconnected: connection reset by peer")
    assert not said(calm, clock, 0.1, "2/2 brokers are down")
    assert not said(calm, clock, 0.2, "reading None: Connect to broker failed", name="easeml.stream.inbox")
    assert said(calm, clock, 20.0, "Disconnected: connection reset by peer")


def test_other_lines_pass_once_per_kind_and_other_loggers_always():
    clock = [0.0]
    calm = Calm(lambda: clock[0])
    assert said(calm, clock, 0.0, "SASL authentication error 58")
    assert not said(calm, clock, 0.1, "SASL authentication error 59")
    assert said(calm, clock, 0.2, "Topic authorization failed")
    assert all(said(calm, clock, 0.3, "Connection refused", name="easeml.serving") for _ in range(3))


def test_a_collector_that_is_away_is_told_once_a_minute_and_hides_no_outage():
    clock = [0.0]
    calm = Calm(lambda: clock[0])
    exporter, queue = "opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal"
    assert said(calm, clock, 0.0, "Transient error: connection refused, retrying in 1.0s", name=exporter)
    assert not said(calm, clock, 1.0, "Queue full, dropping Span.", name=queue)
    assert said(calm, clock, 2.0, "Connect to broker failed: connection refused")
    assert not said(calm, clock, 40.0, "Failed to export spans batch due to timeout", name=exporter)
    assert "3 lines like it" in said(calm, clock, 70.0, "Failed to export spans batch", name=exporter)
