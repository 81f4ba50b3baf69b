"""Requests over HTTP/1.1 as no sound client sends them: broken lines, lying lengths, bodies that are no JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from damage import TEXTS, scrambled

TOKEN = "the token of a fuzzed house"
GIANT = 2_000_000
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, -(2**63), 2**70, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    float("-inf"), [], {}, [[]], {"": None}, "\ud800", *TEXTS,
)  # fmt: skip
_BODIES = (
    b"", b"null", b"NaN", b"[]", b'""', b"{", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"[" * 60_000, b'{"a":' * 20_000,
    b"1" * 9000, b'"\\ud800"', b'{"a":1,"a":2}', b"\0" * 100,
)  # fmt: skip
_PLACES = (
    b"*", b"//", b"/../../etc/passwd", b"/%00", b"/%ff%fe", b"/%", b"/%2e%2e/", b"http://elsewhere/",
    b"/" + b"a" * 9000, b"/" + b"%41" * 30_000, b"", b"/ /", b"/\xc3\xbc", b"/\xff", b"?", b"/#", b"/;",
    b"/v1/apps//pick", b"/static/..%2f",
)  # fmt: skip
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"get", b"",
            b"PRI", b"X" * 5000, b"\x16\x03\x01", b"G\xffT")  # fmt: skip
_VERSIONS = (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.", b"http/1.1", b"", b"ICY 1",
             b"HTTP/1.1 ")  # fmt: skip
_TYPES = (
    b"", b"text/plain", b"application/xml", b"multipart/form-data", b"multipart/form-data; boundary=" + b"b" * 300,
    b"application/json; charset=utf-7", b"application/json; charset=\xff", b"application/x-www-form-urlencoded",
    b"application/grpc", b";;;", b"a" * 7000,
)  # fmt: skip
_ENCODINGS = (b"gzip", b"deflate", b"br", b"zstd", b"identity", b"compress, gzip", b"x" * 300)
_NUMBERS = (b"-1", b"+5", b"0x10", b"1e3", b"", b"99999999999999999999", b"5, 6", b"1_0", b"\xb2", b" 5 ")
_CHUNKS = (
    b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFF\r\n", b"-1\r\n", b"5\r\nhel", b"xyz\r\n", b"\r\n",
    b"1;" + b"e" * 9000 + b"\r\na\r\n0\r\n\r\n", b"0\r\n" + b"t: 1\r\n" * 3000 + b"\r\n", b"1\r\na" * 200,
)  # fmt: skip
_ODD = (
    (b"Expect", b"100-continue"), (b"Expect", b"x"), (b"Upgrade", b"websocket"), (b"Upgrade", b"h2c"), (b"TE", b"x"),
    (b"Connection", b"Upgrade"), (b"Connection", b"\xff"), (b"Trailer", b"a"), (b"Host", b"[::"), (b"Host", b"evil"),
)  # fmt: skip
_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(500)
"""Begins as a TLS handshake does."""


@dataclass(frozen=True)
class Request:
    """A request over HTTP, as its parts stand on the wire."""

    method: bytes
    place: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    version: bytes = b"HTTP/1.1"

    def raw(self, end: bytes = b"\r\n") -> bytes:
        """Return the bytes of the request."""
        lines = [b" ".join((self.method, self.place, self.version)), *(b": ".join(pair) for pair in self.headers)]
        return end.join([*lines, b"", self.body])


def sound(method: str, place: str, body: Any = None) -> Request:
    """Return a request that is in order."""
    headers = [(b"Host", b"127.0.0.1"), (b"Authorization", b"Bearer " + TOKEN.encode())]
    content = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        headers += [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(content)).encode())]
    return Request(method.encode(), place.encode(), tuple(headers), content)


def _with(request: Request, name: bytes, value: bytes | None) -> Request:
    """Return the request with a header of this value, or without it."""
    kept = tuple(pair for pair in request.headers if pair[0].lower() != name.lower())
    return replace(request, headers=kept if value is None else (*kept, (name, value)))


def _carrying(request: Request, body: bytes) -> Request:
    return _with(replace(request, body=body), b"Content-Length", str(len(body)).encode())


def _other(rng: random.Random, value: Any) -> Any:
    """Return a JSON value with something else in it."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        match rng.randrange(6):
            case 0:
                return {key: inner for key, inner in value.items() if key != name}
            case 1:
                return value | {rng.choice(TEXTS): rng.choice(_VALUES)}
            case _:
                return value | {name: _other(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        match rng.randrange(5):
            case 0:
                return value * rng.choice((0, 2, 300))
            case 1:
                return [*value, rng.choice(_VALUES)]
            case _:
                return [*value[:place], _other(rng, value[place]), *value[place + 1 :]]
    return rng.choice(_VALUES)


# -- kinds of damage ---------------------------------------------------------------------------------------------------


def _json(rng: random.Random, request: Request) -> Request:
    document = json.loads(request.body or b"{}")
    for _ in range(rng.choice((1, 1, 2))):
        document = _other(rng, document)
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    return _carrying(request, text.encode(errors="surrogatepass"))


def _body(rng: random.Random, request: Request) -> Request:
    content = rng.choice((rng.choice(_BODIES), scrambled(rng, request.body), rng.randbytes(50), request.body[:-1]))
    return _carrying(request, content)


def _giant(rng: random.Random, request: Request) -> Request:
    return _carrying(request, rng.choice((b" " * GIANT, b'{"rows": "' + b"x" * GIANT + b'"}')))


def _length(rng: random.Random, request: Request) -> Request:
    near = str(max(0, len(request.body) + rng.choice((-1, 1, 50, 10**6)))).encode()
    lying = _with(request, b"Content-Length", rng.choice((near, near, *_NUMBERS)))
    if rng.random() < 0.2:
        lying = replace(lying, headers=(*lying.headers, (b"Content-Length", b"3")))
    return lying


def _chunked(rng: random.Random, request: Request) -> Request:
    body = rng.choice(_CHUNKS)
    if rng.random() < 0.3:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(request.body), request.body)
    coding = rng.choice((b"chunked", b"chunked", b"chunked", b"gzip, chunked", b"identity", b"chunked, chunked", b"x"))
    changed = _with(replace(request, body=body), b"Transfer-Encoding", coding)
    return changed if rng.random() < 0.2 else _with(changed, b"Content-Length", None)


def _place(rng: random.Random, request: Request) -> Request:
    words = request.place.split(b"/")
    words[rng.randrange(len(words))] = rng.choice((b"", b"..", b"%00", b"%ff", b"x" * 300, b"%2f", b"\xc3\xa9", b"1e9"))
    return replace(request, place=rng.choice((rng.choice(_PLACES), b"/".join(words), scrambled(rng, request.place))))


def _query(rng: random.Random, request: Request) -> Request:
    bare, _, old = request.place.partition(b"?")
    name = rng.choice((b"start", b"app", b"annotator", b"from", b"all", b"details", b"uncertain", b"x"))
    value = rng.choice(
        (b"-1", b"1e9", b"%00", b"%ff%fe", b"9" * 5000, b"", b"null", b"999999999", b"%F0%9F%92%A9", b"\xb2")
    )
    more = rng.choice((b"&".join([old, name + b"=" + value]), name + b"=" + value, b"&" * 3000, b"=" * 9, b"%"))
    return replace(request, place=bare + b"?" + more)


def _headers(rng: random.Random, request: Request) -> Request:
    pairs = list(request.headers)
    place = rng.randrange(len(pairs))
    match rng.randrange(7):
        case 0:
            del pairs[place]
        case 1:
            pairs.append(pairs[place])
        case 2:
            pairs[place] = pairs[place][0], rng.choice((b"", b"\xff\xfe", b"x" * 70_000, b"a\0b", b"a\rb", b"\x7f"))
        case 3:
            pairs += [(b"x-%d" % number, b"y" * 50) for number in range(rng.choice((50, 3000)))]
        case 4:
            pairs.append((rng.choice((b"", b" ", b"a b", b"x" * 70_000, b"\xff", b"a:")), b"1"))
        case 5:
            name = rng.choice((b"Cookie", b"Origin", b"Sec-Fetch-Site", b"Last-Event-ID", b"Range", b"If-None-Match",
                               b"If-Modified-Since", b"If-Range", b"Accept-Encoding", b"Forwarded"))  # fmt: skip
            value = rng.choice(
                (b"=", b"a=b; c", b"\xff", b"bytes=9-1,-", b"null", b"cross-site", b"http://a", b";" * 900)
            )
            pairs.append((name, value))
        case _:
            pairs.append(rng.choice(_ODD))
    return replace(request, headers=tuple(pairs))


def _token(rng: random.Random, request: Request) -> Request:
    token = TOKEN.encode()
    wrong = rng.choice((b"", b"Bearer", b"Bearer ", b"Bearer x", b"Basic " + token, b"Bearer " + scrambled(rng, token),
                        b"Bearer " + token + b"x" * 6000, b"Bearer \xff\xfe", b"bearer  " + token))  # fmt: skip
    return _with(request, b"Authorization", wrong)


def _type(rng: random.Random, request: Request) -> Request:
    if rng.random() < 0.5:
        return _with(request, b"Content-Type", rng.choice(_TYPES))
    return _with(request, b"Content-Encoding", rng.choice(_ENCODINGS))


DAMAGES: dict[str, tuple[Callable[[random.Random, Request], Request], int]] = {
    "json": (_json, 25),
    "body": (_body, 8),
    "length": (_length, 5),
    "chunks": (_chunked, 6),
    "place": (_place, 8),
    "query": (_query, 6),
    "headers": (_headers, 10),
    "token": (_token, 4),
    "type": (_type, 4),
    "method": (lambda rng, request: replace(request, method=rng.choice(_METHODS)), 4),
    "version": (lambda rng, request: replace(request, version=rng.choice(_VERSIONS)), 2),
}
"""Name -> how to damage a request, and how often."""
RAW = {"bytes": 18, "cut": 4, "pipeline": 3, "line ends": 1, "hello": 1, "noise": 1, "giant": 0.3}
"""Names of what is done to the bytes of a request, and how often."""


def damaged(rng: random.Random, requests: Sequence[Request]) -> tuple[str, bytes]:
    """Return a kind of damage and the bytes of a request that suffered it."""
    request = rng.choice(requests)
    weights = [weight for _, weight in DAMAGES.values()]
    (kind,) = rng.choices([*DAMAGES, *RAW], [*weights, *RAW.values()])
    if kind in DAMAGES:
        return kind, DAMAGES[kind][0](rng, request).raw()
    raw = request.raw()
    match kind:
        case "bytes":
            return kind, scrambled(rng, raw)
        case "cut":
            return kind, raw[: rng.randrange(len(raw))]
        case "pipeline":
            return kind, raw + rng.choice((b"", b"\0", b"\r\n\r\n")) + b"".join(
                r.raw() for r in rng.choices(requests, k=5)
            )
        case "line ends":
            return kind, request.raw(rng.choice((b"\n", b"\r", b"\r\n ", b"\n\r")))
        case "hello":
            return kind, _HELLO
        case "giant":
            return kind, _giant(rng, request).raw()
    return kind, rng.randbytes(rng.choice((1, 20, 5000)))


def is_complete(answer: bytes) -> bool:
    """Whether an answer has come to its end."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    named = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if named.get(b"transfer-encoding") == b"chunked":
        return body.endswith(b"0\r\n\r\n") or b"event-stream" in named.get(b"content-type", b"")
    return len(body) >= int(named.get(b"content-length", b"0"))


def outcome(answer: bytes) -> str:
    """Return the status of an answer: that of the first response."""
    line = answer.partition(b"\r\n")[0].split(b" ")
    return line[1].decode(errors="replace") if len(line) > 1 else "closed"
