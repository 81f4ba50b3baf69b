"""Every metric of a service, in one typed list."""

from __future__ import annotations

from collections import Counter as Counts
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Metrics of one service, and those of its process that have their usual names (``process_...``).

    Whatever can be told before it happens is told from the start as 0, for an increase is seen between two values only.

    Parameters
    ----------
    service : str
        Value of the label ``service``.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self.events: Counter = self._counter("events", "events handled or folded")
        self.duplicates: Counter = self._counter("duplicates", "events dropped because their id was seen")
        self.ignored: Counter = self._counter("ignored", "messages that are none of the service's business")
        self.outputs: Counter = self._counter("outputs", "events published")
        self.dead_letters: Counter = self._counter("dead_letters", "messages given up", "reason")
        self.batches: Counter = self._counter("batches", "writes of state")
        self.jobs: Counter = self._counter("jobs", "jobs run in worker processes", "outcome")
        self.recoveries: Counter = self._counter(
            "recoveries", "times that partitions were recovered from the changelog"
        )
        self.seeks: Counter = self._counter("seeks", "times an input was rewound because messages were missing")
        self.state_bytes: Counter = self._counter("state_bytes", "bytes written to the changelog")
        self.handler_seconds: Histogram = self._histogram("handler_seconds", "one event through folds and handler")
        self.write_seconds: Histogram = self._histogram("write_seconds", "one batch until everything is acknowledged")
        self.lag: Gauge = self._gauge("lag", "messages not applied yet", "topic", "partition")
        self.position: Gauge = self._gauge("position", "last applied offset", "topic", "partition")
        self.serving: Gauge = self._gauge("serving", "1 when healthy")
        self.fused: Gauge = self._gauge("fused", "partitions that stand after too many dead letters in a row")
        for outcome in ("done", "failed"):
            self.jobs.labels(service, outcome)
        ProcessCollector(registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._told(Counter(f"easeml_{name}", text, ("service", *labels), registry=self.registry), labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._told(Gauge(f"easeml_{name}", text, ("service", *labels), registry=self.registry), labels)

    def _histogram(self, name: str, text: str) -> Histogram:
        return self._told(Histogram(f"easeml_{name}", text, ("service",), registry=self.registry, buckets=_SECONDS))

    def _told(self, metric: M, labels: tuple[str, ...] = ()) -> M:
        if not labels:
            metric.labels(self._service)
        return metric

    def batch(self, counts: Counts[str], state_bytes: int, seconds: float) -> None:
        """Account for one written batch."""
        name = self._service
        self.batches.labels(name).inc()
        self.state_bytes.labels(name).inc(state_bytes)
        self.write_seconds.labels(name).observe(seconds)
        kinds = {
            "events": self.events,
            "duplicates": self.duplicates,
            "ignored": self.ignored,
            "outputs": self.outputs,
        }
        for kind, count in counts.items():
            if kind.startswith("dead:"):
                self.dead_letters.labels(name, kind.removeprefix("dead:")).inc(count)
            else:
                kinds[kind].labels(name).inc(count)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)
