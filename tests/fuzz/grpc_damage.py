"""Calls of the label service, and the HTTP/2 frames below them, as no sound client makes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from damage import DOUBLES, LONGS, TEXTS, scrambled
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from http_damage import TOKEN

from easeml.labels.v1 import labels_pb2 as pb

SERVICE = "/easeml.labels.v1.LabelService/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
_METHODS = ("", "Nothing", "ListQuestions/", "listquestions", "x" * 3000, "SubmitAnswer?x=1", "../Health")
_METADATA: tuple[tuple[str, str | bytes], ...] = (
    ("x-bin", bytes(range(60))), ("x", "y" * 7000), ("x", "\x7e"), ("easeml-scope", "test-owner"),
    ("easeml-scope", "x"), ("grpc-trace-bin", b"\0"), ("traceparent", "00-x"),
)  # fmt: skip
_INTEGERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_ENUM}


@dataclass(frozen=True)
class Call:
    """A call as the wire carries it: ``streams`` tells whether answers come as a stream."""

    method: str
    message: bytes
    metadata: tuple[tuple[str, str | bytes], ...] = (("authorization", f"Bearer {TOKEN}"),)

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream."""
        return self.method.endswith(("StreamQuestions", "Watch", "ServerReflectionInfo"))


def sound_calls(app: str, question: str) -> list[tuple[str, Message]]:
    """Return a call of each method, in order, those of health and reflection too."""
    named = {"app": app, "question": question}
    answer = pb.SubmitAnswerRequest(**named, label="yes", annotator="ada", request_id="r1")
    ours: list[tuple[str, Message]] = [
        ("ListQuestions", pb.ListQuestionsRequest(page_size=5, app=app, annotator="ada")),
        ("StreamQuestions", pb.StreamQuestionsRequest(app=app, annotator="ada")),
        ("ClaimQuestion", pb.ClaimQuestionRequest(**named, annotator="ada", lease_seconds=1.0)),
        ("ReleaseQuestion", pb.ReleaseQuestionRequest(**named, annotator="ada")),
        ("SubmitAnswer", answer),
        ("SubmitAnswers", pb.SubmitAnswersRequest(requests=[answer, answer])),
        ("SkipQuestion", pb.SkipQuestionRequest(**named, annotator="ada", request_id="r2")),
        ("GetBudget", pb.GetBudgetRequest(app=app)),
    ]
    return [
        *((SERVICE + name, message) for name, message in ours),
        ("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(service="x")),
        ("/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest(service="x")),
        (REFLECTION, reflection_pb2.ServerReflectionRequest(host="a", file_containing_symbol="easeml.labels.v1.Cell")),
    ]


def _other(rng: random.Random, message: Message) -> Message:
    """Return the message with another value in one of its fields."""
    changed = type(message)()
    changed.CopyFrom(message)
    field = rng.choice(message.DESCRIPTOR.fields)
    if field.message_type is not None:
        if field.is_repeated:
            inner = getattr(changed, field.name)
            one = _other(rng, inner[0] if inner else inner.add())
            del inner[:]
            inner.extend([one] * rng.choice((1, 2, 1001)))
        return changed
    values: Sequence[Any] = TEXTS
    if field.cpp_type in _INTEGERS:
        values = [number for number in LONGS if -(2**31) <= number < 2**31]
    elif field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        values = DOUBLES
    setattr(changed, field.name, rng.choice(values))
    return changed


def damaged_call(rng: random.Random, calls: Sequence[tuple[str, Message]]) -> tuple[str, Call]:
    """Return a kind of damage and a call that suffered it."""
    method, message = rng.choice(calls)
    raw = message.SerializeToString()
    (kind,) = rng.choices(("fields", "bytes", "cut", "other", "noise", "method", "token", "metadata", "giant"),
                          (35, 30, 8, 6, 4, 4, 6, 6, 0.3))  # fmt: skip
    match kind:
        case "fields":
            return kind, Call(method, _other(rng, message).SerializeToString())
        case "bytes":
            return kind, Call(method, scrambled(rng, raw))
        case "cut":
            return kind, Call(method, raw[: rng.randrange(len(raw))])
        case "other":
            return kind, Call(method, rng.choice(calls)[1].SerializeToString())
        case "noise":
            return kind, Call(method, rng.randbytes(rng.choice((1, 20, 3000))))
        case "method":
            return kind, Call(SERVICE + rng.choice(_METHODS), raw)
        case "token":
            wrong = rng.choice(("", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer " + "x" * 5000))
            return kind, Call(method, raw, (("authorization", wrong),))
        case "metadata":
            return kind, Call(method, raw, (*Call("", b"").metadata, rng.choice(_METADATA)))
    return kind, Call(method, b"\x0a" + b"\xff" * 900_000)


# -- frames ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """A frame of HTTP/2; ``length`` None: that of its payload."""

    kind: int
    flags: int
    stream: int
    payload: bytes = b""
    length: int | None = None

    def raw(self) -> bytes:
        """Return the bytes of the frame."""
        length = len(self.payload) if self.length is None else self.length
        head = length.to_bytes(3) + bytes((self.kind, self.flags)) + (self.stream & 0xFFFFFFFF).to_bytes(4)
        return head + self.payload


def _text(text: bytes) -> bytes:
    """Return a string as HPACK writes it plainly."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size, head = size - 127, bytearray((127,))
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes((*head, size)) + text


def block(path: str, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Return the header block of a call: nothing in it is compressed."""
    pairs = [(b":path", path.encode()), (b":authority", b"127.0.0.1"), (b"content-type", b"application/grpc"),
             (b"te", b"trailers"), (b"authorization", b"Bearer " + TOKEN.encode()), *more]  # fmt: skip
    return b"\x83\x86" + b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs)


def sound_frames(method: str, message: bytes, stream: int = 1) -> list[Frame]:
    """Return the frames of a call."""
    body = b"\0" + len(message).to_bytes(4) + message
    return [Frame(HEADERS, END_HEADERS, stream, block(method)), Frame(DATA, END_STREAM, stream, body)]


def _frames(rng: random.Random, frames: list[Frame]) -> list[Frame]:
    """Return the frames with something wrong in one of them."""
    place = rng.randrange(len(frames))
    one = frames[place]
    wrong = (
        Frame(
            one.kind, one.flags, one.stream, one.payload, rng.choice((0, 1, len(one.payload) + 1, 2**24 - 1, 16_385))
        ),
        Frame(rng.choice((*range(10), 99, 255)), one.flags, one.stream, one.payload),
        Frame(one.kind, rng.randrange(256), one.stream, one.payload),
        Frame(one.kind, one.flags, rng.choice((0, 2, 3, 2**31 - 1, 2**32 - 1)), one.payload),
        Frame(one.kind, one.flags, one.stream, scrambled(rng, one.payload)),
        Frame(one.kind, one.flags | PADDED, one.stream, bytes((rng.choice((0, 255)),)) + one.payload),
    )
    return [*frames[:place], rng.choice(wrong), *frames[place + 1 :]]


def _strange(rng: random.Random, message: bytes) -> list[Frame]:
    """Return frames that each are in order, and together are not."""
    path, many = SERVICE + "ListQuestions", rng.choice((20, 300))
    call = sound_frames(path, message)
    headers, streams = call[0].payload, range(1, 2 * many, 2)
    return rng.choice((
        [Frame(SETTINGS, 0, 0)] * many,
        [Frame(SETTINGS, 0, 0, bytes.fromhex("0004ffffffff")), *call],
        [Frame(SETTINGS, 0, 0, bytes.fromhex("000500000001")), *call],
        [Frame(PING, 0, 0, bytes(8))] * many,
        [f for n in streams for f in (Frame(HEADERS, END_HEADERS, n, headers), Frame(RESET, 0, n, bytes(4)))],
        [f for n in streams for f in sound_frames(path, message, n)],
        [Frame(HEADERS, 0, 1, headers), *[Frame(CONTINUATION, 0, 1, b"\0" + _text(b"x") + _text(b"y" * 900))] * many],
        [Frame(HEADERS, 0, 1, headers), *call],
        [Frame(WINDOW, 0, 0, bytes(4)), *call],
        [Frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff")] * 3 + call,
        [*call, Frame(DATA, END_STREAM, 1, b"more")],
        [call[1], call[0]],
        [Frame(GOAWAY, 0, 0, bytes(8)), *call],
        [Frame(PRIORITY, 0, 1, b"\0\0\0\1\0"), *call],
        [Frame(PUSH, END_HEADERS, 1, bytes(4) + headers)],
        [Frame(HEADERS, END_HEADERS | END_STREAM, 1, headers)],
        [Frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\x7f")],
        [Frame(HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\xff\xff\x0f" + headers)],
        [Frame(HEADERS, END_HEADERS, 1, block(path, [(b"x", b"y" * 15_000)])), call[1]],
        [Frame(HEADERS, END_HEADERS, 1, block(path, [(b"X", b"\0"), (b"", b""), (b":path", b"/")])), call[1]],
        [Frame(HEADERS, END_HEADERS, 1, block(path, [(b"grpc-timeout", b"99999999999H")])), call[1]],
        [Frame(HEADERS, END_HEADERS, 1, block(path, [(b"grpc-encoding", b"gzip")])),
         Frame(DATA, END_STREAM, 1, b"\1" + (9).to_bytes(4) + b"\x1f\x8b not it")],
        [call[0], Frame(DATA, END_STREAM, 1, b"\0" + (2**32 - 1).to_bytes(4) + message)],
        [call[0], Frame(DATA, END_STREAM, 1, b"\7" + len(message).to_bytes(4) + message)],
        [call[0], Frame(DATA, END_STREAM, 1, (b"\0" + len(message).to_bytes(4) + message) * 5)],
    ))  # fmt: skip


def damaged_frames(rng: random.Random, calls: Sequence[tuple[str, Message]]) -> tuple[str, bytes]:
    """Return a kind of damage and the bytes of a connection that suffered it."""
    method, message = rng.choice(calls)
    content = message.SerializeToString()
    frames = [Frame(SETTINGS, 0, 0), *sound_frames(method, content)]
    (kind,) = rng.choices(("frame", "strange", "bytes", "cut", "preface"), (40, 20, 25, 10, 5))
    match kind:
        case "frame":
            return kind, PREFACE + b"".join(frame.raw() for frame in _frames(rng, frames))
        case "strange":
            return kind, PREFACE + b"".join(frame.raw() for frame in [frames[0], *_strange(rng, content)])
    raw = PREFACE + b"".join(frame.raw() for frame in frames)
    if kind == "bytes":
        return kind, PREFACE + scrambled(rng, raw[len(PREFACE) :])
    if kind == "cut":
        return kind, raw[: rng.randrange(len(raw))]
    return kind, rng.choice((b"", b"GET / HTTP/1.1\r\n\r\n", scrambled(rng, PREFACE), bytes(24))) + raw[len(PREFACE) :]


def is_complete(answer: bytes) -> bool:
    """Whether a stream has ended, or the connection."""
    at = 0
    while at + 9 <= len(answer):
        kind, flags = answer[at + 3], answer[at + 4]
        if kind in (RESET, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
            return True
        at += 9 + int.from_bytes(answer[at : at + 3])
    return False
