"""Calls that are no calls: each is refused with a status that says whose fault it is, and the server serves on."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
LIST = pb.ListQuestionsRequest(app="churn").SerializeToString()
SERVICE = "/easeml.labels.v1.LabelService/"


def headers(path: bytes) -> bytes:
    """Return the frame that begins a call, nothing in it compressed."""
    pairs = [(b":path", path), (b":authority", b"a"), (b"content-type", b"application/grpc"), (b"te", b"trailers")]
    texts = b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in pairs)
    block = b"\x83\x86" + texts
    return len(block).to_bytes(3) + bytes.fromhex("010400000001") + block


@pytest.mark.parametrize("method", ["ListQuestions", "StreamQuestions", "SubmitAnswer", "SubmitAnswers", "GetBudget"])
@pytest.mark.parametrize("message", [b"\xff", b"\n\x05chu"], ids=["noise", "cut"])
async def test_a_message_that_is_none_is_the_callers_fault(serve, caplog, method, message):
    async with grpc.aio.insecure_channel(await serve()) as channel:
        make = channel.unary_stream if method.startswith("Stream") else channel.unary_unary
        call = make(SERVICE + method)(message, timeout=10)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "cannot be read" in await call.details()
    assert "Unexpected" not in caplog.text


@pytest.mark.parametrize("method", ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
                                    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"])  # fmt: skip
async def test_neither_health_nor_reflection_fail_on_a_message_that_is_none(serve, caplog, method):
    async with grpc.aio.insecure_channel(await serve()) as channel:
        call = channel.unary_stream(method)(b"\xff", timeout=10)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Unexpected" not in caplog.text


async def hurt(host: str, port: str, name: bytes) -> None:
    """Begin a call, and wait until the server has said something about it."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(PREFACE + headers(SERVICE.encode() + name))
    told = b""
    while b"grpc-status" not in told:
        told += await reader.readexactly(1)
    writer.close()


@pytest.mark.parametrize("name", [b"\x80", b"Nothing", b"", b"x" * 90])
async def test_a_method_that_is_none_or_no_text_ends_neither_the_server_nor_its_streams(house, serve, question, name):
    house.ask(question())
    target = await serve()
    host, _, port = target.partition(":")
    async with grpc.aio.insecure_channel(target) as channel:
        stub = labels_pb2_grpc.LabelServiceStub(channel)
        stream = stub.StreamQuestions(pb.StreamQuestionsRequest(app="churn"), timeout=30)
        assert (await stream.read()).opened.question == "q"
        for _ in range(5):
            await asyncio.gather(*(asyncio.wait_for(hurt(host, port, name), 10) for _ in range(20)))
            told = await stub.ListQuestions(pb.ListQuestionsRequest(app="churn"), timeout=10)
            assert [entry.question for entry in told.questions] == ["q"]
        assert (await stream.read()).HasField("caught_up")
        house.ask(question("q2"))
        assert (await stream.read()).opened.question == "q2"


async def test_a_method_that_is_none_is_unimplemented(serve):
    async with grpc.aio.insecure_channel(await serve()) as channel:
        call = channel.unary_unary(SERVICE + "Nothing")(LIST, timeout=10)
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_can_be_watched(serve):
    async with grpc.aio.insecure_channel(await serve()) as channel:
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        serve.servers[0]._servicer.stop()
        await serve.servers[0]._health.enter_graceful_shutdown()
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
