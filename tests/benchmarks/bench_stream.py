"""Speed of the stream: ``python tests/benchmarks/bench_stream.py`` prints one JSON line per figure.

(a) bulk path: messages of 100 rows x 30 columns read with confluent-kafka and decoded, against reading them alone
    (medians of rounds that do one after the other);
(b) kernel path: the same messages through a service: decode, dedupe, state, one output each, all acks awaited.
Samples per second of CPU time of the reading process is the robust figure on a shared machine. quixstreams reads the
same topic, and then counts rows in its state and answers each message, where another interpreter has it
(``--peers PYTHON``).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "stream"))

from confluent_kafka import Consumer, TopicPartition
from figures import tell
from kernel_house import House
from kernel_services import app

from easeml.stream import codec
from easeml.stream.events import Output
from easeml.stream.main import run
from easeml.stream.payloads import Column, ColumnKind, Pillar, PredictionBatch, RelationBatch
from easeml.stream.service import On, Packed, Service
from easeml.stream.topics import APPS, DATA_PRODUCTION, PREDICTIONS

ROWS, COLUMNS, ROUNDS = 100, 30, 9
MESSAGES = int(os.environ.get("EASEML_BENCH_MESSAGES", "4000"))
QUIX = """
import logging, sys, time
import numpy as np
from quixstreams import Application
servers, name, count, work, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "work", sys.argv[5]
logging.disable(logging.CRITICAL)
app = Application(broker_address=servers, consumer_group="quix-" + sys.argv[4], auto_offset_reset="earliest",
                  state_dir=folder, loglevel=None)
begun = []

def mean(value):
    if not begun:
        begun.extend((time.perf_counter(), time.process_time()))
    return float(np.frombuffer(value, np.float64, len(value) // 8).sum())

def counted(value, state):
    state.set("rows", state.get("rows", 0) + 1)
    return value

frame = app.dataframe(app.topic(name, value_deserializer="bytes")).apply(mean)
if work:
    frame = frame.apply(counted, stateful=True)
    frame.to_topic(app.topic("quix-out", value_serializer="json"))
app.run(count=count, timeout=120)
print(time.perf_counter() - begun[0], time.process_time() - begun[1])
"""


class Scorer(Service):
    """Thresholds the mean of each row."""

    name = "scorer"

    def table(self):
        return (On(DATA_PRODUCTION, RelationBatch, handle=self.score),)

    def produces(self):
        return (PREDICTIONS,)

    def new_state(self, app):
        return {"rows": 0, "mean": np.zeros(COLUMNS)}

    def pack(self, state):
        return Packed({"rows": state["rows"]}, {"mean": state["mean"]})

    def unpack(self, app, packed):
        return {"rows": packed.document["rows"], "mean": packed.arrays["mean"]}

    def score(self, state, event, context):
        batch = event.data
        matrix = batch.numeric.reshape(len(batch.row_ids), -1)
        state["rows"] += len(matrix)
        state["mean"] += matrix.sum(axis=0)
        labels = (matrix.mean(axis=1) > 0).astype(np.int32)
        yield Output(PREDICTIONS, PredictionBatch(batch.app, "m", batch.pillar, batch.row_ids, labels))


def batch(n):
    rng = np.random.default_rng(n)
    columns = tuple(Column(f"c{i}", ColumnKind.NUMERIC) for i in range(COLUMNS))
    rows = tuple(f"row-{n}-{i}" for i in range(ROWS))
    return RelationBatch("churn", Pillar.PRODUCTION, "v", columns, rows, numeric=rng.normal(size=ROWS * COLUMNS))


def fill(house):
    house.publish(APPS, app())
    for n in range(MESSAGES):
        house.publish(DATA_PRODUCTION, batch(n), f"b-{n}")
    house.flush()


def bulk(house, decode):
    consumer = Consumer(
        house.settings.kafka() | {"group.id": "bench", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    )
    consumer.assign([TopicPartition(DATA_PRODUCTION.name, 0, 0)])
    first = None
    while first is None:
        first = consumer.poll(1)
    seen, total = 1, 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    while seen < MESSAGES:
        messages = consumer.consume(min(1000, MESSAGES - seen), 1)
        seen += len(messages)
        if decode:
            for message in messages:
                total += codec.decode(message.value()).numeric[0]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    consumer.close()
    return MESSAGES * ROWS / wall, MESSAGES * ROWS / cpu


def quix(python, house, mode):
    """Return samples per second, by the clock and by CPU time, of quixstreams."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [house.settings.bootstrap_servers, DATA_PRODUCTION.name, str(MESSAGES), mode, folder]
        done = subprocess.run([python, "-c", QUIX, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"quixstreams failed in {python}: {done.stderr.strip().splitlines()[-1]}")
    return [MESSAGES * ROWS / float(seconds) for seconds in done.stdout.split()]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kernel(house):
    house.start("scorer")
    house.wait_ready("scorer")
    pid = house.processes["scorer"].pid

    def position():
        return house.health("scorer")[1]["positions"].get(DATA_PRODUCTION.name, {}).get("0", -1)

    house.wait(lambda: position() >= 0, name="scorer")
    begun, wall, cpu = position(), time.perf_counter(), cpu_seconds(pid)
    while position() < MESSAGES - 1:
        time.sleep(0.05)
    done = MESSAGES - 1 - begun
    wall, cpu = time.perf_counter() - wall, cpu_seconds(pid) - cpu
    print(*(line for line in house.metrics("scorer").splitlines() if "_seconds_sum" in line or "batches_total" in line))
    assert len(house.raw(PREDICTIONS.name)) == MESSAGES
    return done * ROWS / wall, done * ROWS / cpu


def main(peers):
    with tempfile.TemporaryDirectory() as folder, House(Path(folder), ["scorer"], partitions=1) as house:
        house.program = Path(__file__)
        fill(house)
        rounds = np.array([(*bulk(house, decode=False), *bulk(house, decode=True)) for _ in range(ROUNDS)])
        raw, decoded = np.split(np.median(rounds, axis=0), 2)
        shares = np.median(rounds[:, 2:] / rounds[:, :2], axis=0).round(3)
        print(json.dumps({"bulk": "raw", "samples_per_s": round(raw[0]), "per_cpu_s": round(raw[1])}))
        print(json.dumps({"bulk": "decoded", "samples_per_s": round(decoded[0]), "per_cpu_s": round(decoded[1])}))
        print(json.dumps({"bulk": "share of raw", "wall": shares[0], "cpu": shares[1]}))
        cost = (1e6 * ROWS * (1 / rounds[:, 3] - 1 / rounds[:, 1])).round(1)
        print(json.dumps({"bulk": "decode, us of CPU per message", "median": np.median(cost), "least": cost.min()}))
        wall, cpu = kernel(house)
        print(json.dumps({"kernel": "100 rows per message", "samples_per_s": round(wall), "per_cpu_s": round(cpu)}))
        others = [f"raw confluent-kafka {raw[0]:,.0f}", ""]
        if peers:
            found = [quix(peers, house, mode) for mode in ("read", "work")]
            print(json.dumps({"quixstreams": "read, work: per CPU s", "samples": [round(one[1]) for one in found]}))
            others[0] += f", quixstreams {found[0][0]:,.0f} (bytes without a schema)"
            others[1] = f"quixstreams {found[1][1]:,.0f} (bytes without a schema, acknowledged every 5 s)"
        told = f"reading and decoding, messages of {ROWS} rows x {COLUMNS}"
        tell(f"{told}, rows a second", decoded[0], "rows/s", peer=others[0])
        tell(f"{told}, of reading alone", shares[0], "%", least=0.7, peer="raw confluent-kafka")
        through = "through a service (decode, dedupe, state, output, all acknowledged), rows a second of one core"
        tell(through, cpu, "rows/s", least=200_000, peer=others[1])
        print(json.dumps({"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    if sys.argv[1:] == ["scorer"]:
        run(Scorer())
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--peers", default=os.environ.get("EASEML_PEER_PYTHON", ""), help="has quixstreams")
        main(parser.parse_args().peers)
