"""Strangers take part with the contracts alone: no import of ours, only ``schemas/`` and ``proto/``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from confluent_kafka import Producer

from easeml.stream import envelope
from easeml.stream.codec import decode
from easeml.stream.payloads import AppDefined, Column, ColumnKind, Pillar, Question, QuestionKind, RelationBatch
from easeml.stream.topics import ANSWERS, APPS, CATALOGUE, DATA_PRODUCTION, QUESTIONS, partition_of

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
GOLDEN = ROOT / "schemas" / "golden"

STRANGER = """
import runpy, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "easeml":
            raise ImportError(f"{name} is ours: an outsider does not have it")

sys.meta_path.insert(0, Wall())
script = sys.argv.pop(1)
sys.argv[0] = script
runpy.run_path(script, run_name="__main__")
ours = [name for name in sys.modules if name.partition(".")[0] == "easeml"]
sys.exit(f"imported {ours}" if ours else 0)
"""


def stranger(script, *arguments, path=""):
    """Run a program that cannot import us and return the JSON lines it prints."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(HERE / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env={"PYTHONPATH": str(path), "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def subject(payload):
    return re.sub(r"(?<!^)(?=[A-Z])", "-", payload.__name__).lower()


def test_the_wall_holds(tmp_path):
    script = tmp_path / "cheat.py"
    script.write_text("import easeml.errors")
    done = subprocess.run([sys.executable, "-c", STRANGER, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "an outsider does not have it" in done.stderr


def test_an_outsider_reads_every_topic(stack):
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap_servers, "acks": "all"})
    expected = []
    for topic in CATALOGUE:
        for payload in topic.payloads:
            for name in sorted(path.stem for path in GOLDEN.glob(f"{subject(payload)}-[0-9]*.bin")):
                value, data = (GOLDEN / f"{name}.bin").read_bytes(), json.loads((GOLDEN / f"{name}.json").read_text())
                headers = envelope.headers(f"golden-{topic.noun}-{name}", "golden", decode(value), 1_700_000_000.0)
                partition = partition_of(envelope.partition_key(decode(value)), 2)
                producer.produce(topic.name, value, name.encode(), partition, headers=headers)
                expected.append((topic.name, partition, name, f"easeml.v1.{payload.__name__}", data))
    assert producer.flush(30) == 0
    read = stranger("consumer.py", "--bootstrap", stack.broker.bootstrap_servers, "--schemas", ROOT / "schemas")
    found = [(line["topic"], line["partition"], line["key"], line["type"], line["data"]) for line in read]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert {line["topic"] for line in read} == {topic.name for topic in CATALOGUE}
    packed = [line["data"]["labels"] for line in read if line["key"].startswith("prediction-batch")]
    assert any(labels and all(isinstance(item, int) for item in labels) for labels in packed)
    for line in read:
        assert line["headers"]["ce_type"] == line["type"]
        assert line["headers"]["ce_id"] == f"golden-{line['topic'][7:-3]}-{line['key']}"


def test_an_outsider_answers_a_question(stack, tmp_path):
    stack.start()
    app = AppDefined(
        app="outside", label="churned", classes=("no", "yes"), columns=(Column("age", ColumnKind.NUMERIC),)
    )
    rows = RelationBatch(
        app="outside",
        pillar=Pillar.PRODUCTION,
        version="v",
        columns=app.columns,
        row_ids=("r1",),
        numeric=np.array([41.0]),
    )
    question = Question(
        app="outside",
        question="q1",
        kind=QuestionKind.LABEL,
        pillar=Pillar.PRODUCTION,
        row_id="r1",
        candidates=("no", "yes"),
        information_gain=1.0,
        asked_by="modelpicker",
    )
    stack.publish(APPS, app)
    stack.publish(DATA_PRODUCTION, rows)
    stack.publish(QUESTIONS, question)
    generated = tmp_path / "generated"
    generated.mkdir()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'proto/easeml/labels/v1'}",
            f"--python_out={generated}",
            f"--grpc_python_out={generated}",
            "labels.proto",
        ],
        check=True,
    )
    from easeml.labels.client import LabelClient

    with LabelClient(stack.target) as client:
        stack.until(lambda: [asked for asked in client.questions("outside") if asked.row])
    (report,) = stranger("annotator.py", "--target", stack.target, "--app", "outside", "--label", "yes", path=generated)
    assert report["health"] == "SERVING"
    assert "easeml.labels.v1.LabelService" in report["services"]
    assert report["described"] >= 1
    assert (report["question"], report["candidates"], report["row"]) == ("q1", ["no", "yes"], {"age": 41.0})
    assert report["annotation"] == report["repetition"]
    assert report["granted"] == [app.label_budget]
    answers = stack.until(lambda: [e.data for e in stack.events(ANSWERS) if e.data.app == "outside"])
    assert [(answer.question, answer.text, answer.annotators) for answer in answers] == [("q1", "yes", 1)]
