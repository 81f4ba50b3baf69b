from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from easeml.labels.v1 import labels_pb2, labels_pb2_grpc

ROOT = Path(__file__).parents[3]
CONTRACT = ROOT / "proto/easeml/labels/v1/labels.proto"


@pytest.fixture
def contract(tmp_path):
    target = tmp_path / "contract.bin"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'proto'}",
            "--include_source_info",
            f"--descriptor_set_out={target}",
            f"--grpc_python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
            str(CONTRACT),
        ],
        check=True,
    )
    return descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file[0]


def test_the_generated_code_is_that_of_the_contract(contract, tmp_path):
    """By content, not by letter: compilers differ in layout, messages and methods may not."""
    generated = descriptor_pb2.FileDescriptorProto()
    labels_pb2.DESCRIPTOR.CopyToProto(generated)
    for file in (contract, generated):
        file.ClearField("source_code_info")
        for field in _fields(file):
            field.ClearField("json_name")
    assert generated == contract
    for name in ("labels_pb2.pyi", "labels_pb2_grpc.py"):
        here, there = (folder / "easeml/labels/v1" / name for folder in (ROOT / "services", tmp_path))
        assert _definitions(here) == _definitions(there)


def _fields(file):
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        messages += message.nested_type
        yield from message.field


def _definitions(path):
    return sorted(
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef | ast.FunctionDef)
    )


def test_every_message_field_and_method_of_the_contract_is_described(contract):
    described = {tuple(item.path) for item in contract.source_code_info.location if item.leading_comments.strip()}
    things = {(6, 0): "LabelService"}
    things |= {(6, 0, 2, i): method.name for i, method in enumerate(contract.service[0].method)}
    for i, message in enumerate(contract.message_type):
        things |= {(4, i): message.name}
        things |= {(4, i, 2, j): f"{message.name}.{field.name}" for j, field in enumerate(message.field)}
    assert [name for path, name in things.items() if path not in described] == []


def test_the_stub_has_the_methods_of_the_contract():
    methods = re.findall(r"^  rpc (\w+)\(", CONTRACT.read_text(), re.MULTILINE)
    assert methods == [method.name for method in labels_pb2.DESCRIPTOR.services_by_name["LabelService"].methods]
    assert all(hasattr(labels_pb2_grpc.LabelServiceServicer, method) for method in methods)
