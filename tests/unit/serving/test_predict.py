import asyncio
import contextlib
import json
import socket
import ssl

import aiohttp
import numpy as np
import pytest
from automl.conftest import CLASSES, rows

from easeml.artifacts import load
from easeml.errors import ConfigurationError, UnavailableError
from easeml.serving.predict import PredictServer
from easeml.stream.payloads import ModelPicked, ModelRetired, Pillar
from easeml.stream.settings import Settings
from easeml.stream.topics import DATA_PRODUCTION, MODELS, PICKS

ROW = {"x": 2.0, "colour": "red"}


class Recorder:
    def __init__(self) -> None:
        self.events = []
        self.error = None

    async def publish(self, topic, data, *, id=None):  # noqa: A002
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.events.append((topic, data, id))


class Client:
    def __init__(self, harbour, server, recorder, session) -> None:
        self.harbour, self.server, self.recorder, self.session = harbour, server, recorder, session
        self.base = f"http://127.0.0.1:{server.ports['predict']}/v1/apps"

    async def post(self, body, app="churn", **options):
        data = body if isinstance(body, bytes) else json.dumps(body)
        async with self.session.post(f"{self.base}/{app}/predict", data=data, **options) as answer:
            return answer.status, await answer.json()

    async def get(self, path="churn/pick", **options):
        async with self.session.get(f"{self.base}/{path}", **options) as answer:
            return answer.status, await answer.json()


async def start(harbour, **settings):
    recorder = Recorder()
    server = PredictServer(harbour.serving, Settings(serving_port=0, **settings))
    await server.start(recorder)
    return server, recorder


def pick(harbour, model="m1", app="churn"):
    harbour.cluster.publish(PICKS, ModelPicked(app, model, 3, 5, False, 1, {model: 1.0}))
    harbour.cluster.run()


@pytest.fixture
async def client(harbour):
    harbour.publish_model()
    pick(harbour)
    server, recorder = await start(harbour)
    async with aiohttp.ClientSession() as session:
        yield Client(harbour, server, recorder, session)
    await server.stop()


async def test_a_category_nobody_has_seen_is_missing_and_said_so(client):
    strange = [ROW, ROW | {"colour": "violet"}]
    status, answer = await client.post({"rows": strange, "record": True})
    assert status == 200
    _, plain = await client.post({"rows": [ROW, ROW | {"colour": None}]})
    assert answer["probabilities"] == plain["probabilities"]
    assert answer["warnings"] == ["Row 1, column 'colour': 'violet' is unknown and taken as missing."]
    assert "warnings" not in plain
    (recorded,) = client.recorder.events
    assert recorded[1].codes.tolist()[1] == -1


async def test_the_pick_predicts(client):
    frame = rows(6, 8, "q")[["x", "colour"]]
    body = {"rows": frame.astype(object).where(frame.notna(), None).to_dict("records"), "row_ids": list(frame.index)}
    status, answer = await client.post(body)
    assert status == 200
    assert answer["model"] == "m1"
    assert answer["classes"] == list(CLASSES)
    assert answer["row_ids"] == list(frame.index)
    model = client.harbour.serving.states["churn"].models["m1"]
    expected = load(client.harbour.store.get(model.uri, model.sha256)).predict_proba(frame)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert answer["labels"] == [CLASSES[code] for code in expected.argmax(axis=1)]
    assert not client.recorder.events


async def test_recorded_rows_are_production_rows(client):
    body = {"rows": [ROW, {"x": None, "colour": None}], "row_ids": ["r1", "r2"], "record": True}
    status, answer = await client.post(body)
    assert (status, answer["row_ids"]) == (200, ["r1", "r2"])
    ((topic, batch, identity),) = client.recorder.events
    assert topic is DATA_PRODUCTION
    assert (batch.app, batch.pillar, batch.row_ids, batch.classes) == ("churn", Pillar.PRODUCTION, ("r1", "r2"), ())
    await client.post(body)
    assert client.recorder.events[1][2] == identity, "a client that retries records nothing new"
    await client.post(body | {"row_ids": ["r3", "r4"]})
    assert client.recorder.events[2][2] != identity
    for _, recorded, name in client.recorder.events:
        client.harbour.cluster.publish(DATA_PRODUCTION, recorded, id=name)
    client.harbour.cluster.run()
    assert set(client.harbour.predicted("m1", Pillar.PRODUCTION)) == {"r1", "r2", "r3", "r4"}
    assert not client.harbour.letters()


async def test_a_row_without_an_id_gets_one(client):
    _, one = await client.post({"rows": [ROW]})
    _, two = await client.post({"rows": [ROW]})
    assert one["row_ids"] != two["row_ids"]


async def test_a_broker_that_is_away_is_said(client):
    client.recorder.error = UnavailableError("The broker is away.", mend="Wait.")
    status, answer = await client.post({"rows": [ROW], "record": True})
    assert status == 503
    assert answer["error"] == {"reason": "unavailable", "message": "The broker is away.", "mend": "Wait."}


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        (b"{", "invalid_data", "not JSON"),
        (b"\xff\xfe", "invalid_data", "not JSON"),
        (b"[" * 100_000, "invalid_data", "not JSON"),
        ([1], "invalid_data", "not an object"),
        ({"rows": [ROW], "recrd": True}, "invalid_data", "not an object of"),
        ({}, "invalid_data", "at least one object"),
        ({"rows": []}, "invalid_data", "at least one object"),
        ({"rows": [[1, 2]]}, "invalid_data", "at least one object"),
        ({"rows": [ROW], "record": "yes"}, "invalid_data", "neither true nor false"),
        ({"rows": [ROW], "row_ids": []}, "invalid_data", "one string per row"),
        ({"rows": [ROW], "row_ids": [7]}, "invalid_data", "one string per row"),
        ({"rows": [ROW, ROW], "row_ids": ["a", "a"]}, "duplicate_row", "twice"),
        ({"rows": [ROW], "row_ids": ["a\nb"]}, "bad_row_id", "RowId"),
        ({"rows": [ROW | {"height": 3}]}, "unknown_column", "unknown column 'height'"),
        ({"rows": [{"x": 1}], "row_ids": ["a"]}, "missing_column", "Row 'a': missing column 'colour'"),
        ({"rows": [ROW | {"x": "tall"}]}, "invalid_data", "'tall'"),
        ({"rows": [ROW | {"x": [1]}]}, "invalid_data", "not a single value"),
        ({"rows": [ROW | {"colour": {"a": 1}}]}, "invalid_data", "not a single value"),
        (json.dumps({"rows": [ROW | {"x": 5}]}).replace("5", "Infinity").encode(), "invalid_data", "inf"),
        (json.dumps({"rows": [ROW | {"x": 5}]}).replace("5", "1" + "0" * 400).encode(), "invalid_data", ""),
    ],
)
async def test_bad_requests_are_explained(client, body, reason, says):
    status, answer = await client.post(body)
    assert status == 400
    assert answer["error"]["reason"] == reason
    assert says in answer["error"]["message"]
    assert answer["error"]["mend"]


async def test_a_request_that_is_too_large_is_refused(harbour):
    server, recorder = await start(harbour, max_message_bytes=10_000)
    async with aiohttp.ClientSession() as session:
        client = Client(harbour, server, recorder, session)
        harbour.publish_model()
        pick(harbour)
        status, answer = await client.post({"rows": [ROW] * 1000})
        assert (status, answer["error"]["reason"]) == (413, "too_large")
    await server.stop()


async def test_the_pick_is_shown(client):
    assert await client.get() == (
        200,
        {
            "app": "churn",
            "model": "m1",
            "period": 1,
            "drift": False,
            "labels_used": 3,
            "rows_seen": 5,
            "posterior": {"m1": 1.0},
        },
    )


@pytest.mark.parametrize("path", ["other/pick", "churn", "churn/picks", "..%2F..%2Fetc/pick"])
async def test_unknown_addresses_are_json_too(client, path):
    status, answer = await client.get(path)
    assert status == 404
    assert set(answer["error"]) == {"reason", "message", "mend"}


async def test_the_wrong_method_is_json_too(client):
    status, answer = await client.get("churn/predict")
    assert status == 405
    assert answer["error"]["reason"] == "http"


async def test_before_the_first_pick(harbour):
    server, recorder = await start(harbour)
    async with aiohttp.ClientSession() as session:
        client = Client(harbour, server, recorder, session)
        assert (await client.post({"rows": [ROW]}))[1]["error"]["reason"] == "unknown_app"
        harbour.publish_model()
        status, answer = await client.post({"rows": [ROW]})
        assert (status, answer["error"]["reason"]) == (404, "no_pick")
        pick(harbour, "external")
        status, answer = await client.post({"rows": [ROW]})
        assert (status, answer["error"]["reason"]) == (404, "model_not_served")
    await server.stop()


async def test_a_new_pick_is_served_at_once_and_a_retired_one_no_more(client):
    client.harbour.publish_model("m2", client.harbour.classifier("lda"))
    pick(client.harbour, "m2")
    assert (await client.post({"rows": [ROW]}))[1]["model"] == "m2"
    client.harbour.cluster.publish(MODELS, ModelRetired("churn", "m2", "old"))
    client.harbour.cluster.run()
    assert (await client.post({"rows": [ROW]}))[1]["error"]["reason"] == "model_not_served"


async def test_a_restarted_service_predicts_without_a_new_event(client):
    client.harbour.cluster.restart("serving")
    assert (await client.post({"rows": [ROW]}))[0] == 200


async def test_a_model_that_fails_is_explained(client, monkeypatch):
    monkeypatch.setattr("easeml.artifacts.classifier.Classifier.predict_proba", lambda *_: 1 / 0)
    status, answer = await client.post({"rows": [ROW]})
    assert (status, answer["error"]["reason"]) == (400, "prediction")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_what_its_headers_say_is_the_callers_fault(client, encoding):
    status, answer = await client.post(b'{"rows": []}', headers={"content-encoding": encoding})
    assert (status, answer["error"]["reason"]) == (400, "invalid_data")
    assert "headers" in answer["error"]["message"]


async def test_a_caller_who_hangs_up_in_the_middle_is_no_defect(client, caplog):
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.ports["predict"])
    writer.write(b"POST /v1/apps/churn/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90\r\n\r\n{")
    await asyncio.sleep(0.05)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await reader.read()
    status, _ = await client.post({"rows": [ROW]})
    assert status == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_defect_is_no_stack_trace(client, monkeypatch, caplog):
    monkeypatch.setattr(client.harbour.serving.live, "score", lambda *_: 1 / 0)
    status, answer = await client.post({"rows": [ROW]})
    assert (status, answer["error"]["reason"]) == (500, "internal")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("header", [None, "Bearer wrong", "secret", "Basic secret", "Bearer sécret"])
async def test_the_token_is_asked_for(harbour, header):
    harbour.publish_model()
    pick(harbour)
    server, recorder = await start(harbour, token="secret")
    async with aiohttp.ClientSession() as session:
        client = Client(harbour, server, recorder, session)
        headers = {} if header is None else {"authorization": header}
        assert (await client.get(headers=headers))[0] == 401
        status, answer = await client.post({"rows": [ROW]}, headers=headers)
        assert (status, answer["error"]["reason"]) == (401, "unauthenticated")
        for kind in ("Bearer", "bearer"):  # RFC 9110, 11.1: in any case
            assert (await client.post({"rows": [ROW]}, headers={"authorization": f"{kind} secret"}))[0] == 200
    await server.stop()


async def test_a_taken_port_says_so(harbour):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = PredictServer(harbour.serving, Settings(serving_port=taken.getsockname()[1]))
        with pytest.raises(ConfigurationError, match="EASEML_SERVING_PORT"):
            await server.start(Recorder())


async def picked_over_tls(server, certificates, who=""):
    """Return the model that a caller with a certificate, if any, is told of."""
    context = ssl.create_default_context(cafile=certificates / "ca.crt")
    if who:
        context.load_cert_chain(certificates / f"{who}.crt", certificates / f"{who}.key")
    url = f"https://127.0.0.1:{server.ports['predict']}/v1/apps/churn/pick"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as answer:
        return (await answer.json())["model"]


@pytest.mark.parametrize("together", [False, True])
async def test_tls(harbour, certificates, tmp_path, together):
    harbour.publish_model()
    pick(harbour)
    files = [certificates / "server.crt", certificates / "server.key"]
    both = tmp_path / "both.pem"
    both.write_text("".join(file.read_text() for file in files))
    pair = {"tls_certificate": str(files[0]), "tls_key": str(files[1])}
    server, _ = await start(harbour, **({"tls_certificate": str(both)} if together else pair))
    assert await picked_over_tls(server, certificates) == "m1"
    await server.stop()


async def test_callers_show_a_certificate_where_the_service_asks_for_one(harbour, certificates, shows, caplog):
    harbour.publish_model()
    pick(harbour)
    server, _ = await start(harbour, **shows("server"))
    assert await picked_over_tls(server, certificates, "ada") == "m1"
    assert "refused" not in caplog.text
    for who, why in (
        ("", "peer did not return a certificate"),
        ("eve", "unable to get local issuer certificate"),
        ("old", "certificate has expired"),
    ):
        caplog.clear()
        with pytest.raises(aiohttp.ClientError):
            await picked_over_tls(server, certificates, who)
        assert f"a caller was refused before it could ask anything: {why}" in caplog.text
    await server.stop()


async def test_tls_files_that_cannot_be_used_are_named(harbour, shows):
    for changes in ({"tls_certificate": "/no/such.pem"}, {"tls_key": "/no/such.pem"}, {"tls_ca": "/no/such.pem"}):
        server = PredictServer(harbour.serving, Settings(serving_port=0, **(shows("server") | changes)))
        with pytest.raises(ConfigurationError, match=r"EASEML_TLS_CERTIFICATE.*EASEML_TLS_CA"):
            await server.start(Recorder())
        await server.stop()
    server = PredictServer(harbour.serving, Settings(serving_port=0, **shows()))
    with pytest.raises(ConfigurationError, match="EASEML_TLS_CA asks callers for certificates"):
        await server.start(Recorder())
    await server.stop()
