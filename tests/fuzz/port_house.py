"""A house whose ports are fuzzed: real processes, an app with questions, a model that is picked."""

from __future__ import annotations

import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "dashboard"))

import grpc
import numpy as np
import pandas as pd
from dashboard_stack import DashboardStack
from grpc_damage import TOKEN
from http_damage import Request, sound

from easeml.artifacts import ArtifactStore, dump
from easeml.automl.training import train
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc
from easeml.stream import payloads as p

APP, MODEL, QUESTION = "churn", "m1", "q/churn-0"
QUESTIONS = 20
BEARER = {"authorization": f"Bearer {TOKEN}"}
ROW = {"age": 31, "plan": "basic"}


class PortHouse(DashboardStack):
    """Broker, label service, serving and dashboard; a context manager."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, ("labels", "serving", "dashboard"), TOKEN)

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            app = self.publish_app(APP)
            self.publish_questions(app, QUESTIONS)
            self.publish(self._model(app), p.ModelPicked(APP, MODEL, 0, 0, False, 1, {MODEL: 1.0}))
            self._channel = grpc.insecure_channel(f"127.0.0.1:{self.of('labels', 'labels')}")
            self.labels = labels_pb2_grpc.LabelServiceStub(self._channel)
            self.until(self._is_ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _model(self, app: p.AppDefined) -> p.ModelPublished:
        """Return a model that was trained on rows made up."""
        codes = np.arange(40) % 2
        frame = pd.DataFrame({"age": codes * 10.0 + np.arange(40), "plan": np.where(codes == 1, "basic", "full")})
        model = train(
            frame, codes, frame, codes, columns=app.columns, classes=app.classes, family="logistic", parameters="{}",
            seed=0, clock=time.process_time,
        ).model  # fmt: skip
        stored = ArtifactStore(self.settings.store_uri, self.settings.max_artifact_bytes).put(dump(model))
        return p.ModelPublished(
            APP, MODEL, "hand", stored.uri, stored.sha256, stored.size, "skops", model.columns, model.classes, "v1",
            "automl", {"accuracy": 0.9},
        )  # fmt: skip

    def _is_ready(self) -> bool:
        try:
            self.predicts(5)
            return self._questions(5).total_size == QUESTIONS
        except (AssertionError, OSError, grpc.RpcError):
            return False

    def of(self, service: str, port: str = "") -> int:
        """Return a port of a service: that of its health unless another is named."""
        found: dict[str, Any] = self.run_file(service) or {}
        return int(found["ports"][port] if port else found["health_port"])

    # -- good requests -------------------------------------------------------------------------------------------------

    def _fetch(self, port: int, place: str, body: bytes | None, seconds: float) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{place}", body, BEARER)
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            content: bytes = answer.read()
            return content

    def predicts(self, seconds: float) -> None:
        """Ask for a prediction."""
        port = self.of("serving", "predict")
        answer = self._fetch(port, f"/v1/apps/{APP}/predict", b'{"rows": [{"age": 31, "plan": "basic"}]}', seconds)
        assert b'"model": "m1"' in answer, answer

    def shows(self, seconds: float) -> None:
        """Ask the dashboard for the apps, a page, and the questions that it has from the label service."""
        port = self.of("dashboard", "dashboard")
        assert self._fetch(port, "/api/apps", None, seconds) == b'{"apps":["churn"]}'
        assert b"progress" in self._fetch(port, f"/api/apps/{APP}/questions?annotator=eve", None, seconds)
        assert b"<html" in self._fetch(port, "/", None, seconds)

    def asks(self, seconds: float) -> None:
        """Ask the label service for questions, and answer one that there is not."""
        assert self._questions(seconds).total_size <= QUESTIONS
        told = self.labels.GetBudget(
            pb.GetBudgetRequest(app=APP), timeout=seconds, metadata=[*BEARER.items()], wait_for_ready=True
        )
        assert [budget.asked_by for budget in told.budgets] == ["market"], told

    def _questions(self, seconds: float) -> Any:
        request = pb.ListQuestionsRequest(app=APP, page_size=1)
        return self.labels.ListQuestions(request, timeout=seconds, metadata=[*BEARER.items()], wait_for_ready=True)

    def is_well(self, service: str, seconds: float) -> None:
        """Ask a service how it is."""
        assert b'SERVING"' in self._fetch(self.of(service), "/health", None, seconds)
        assert b"# TYPE" in self._fetch(self.of(service), "/metrics", None, seconds)


# -- what is asked over HTTP -------------------------------------------------------------------------------------------

PREDICT = (
    sound("POST", f"/v1/apps/{APP}/predict", {"rows": [ROW]}),
    sound("POST", f"/v1/apps/{APP}/predict", {"rows": [ROW, ROW | {"age": None}], "row_ids": ["r1", "r2"]}),
    sound("POST", f"/v1/apps/{APP}/predict", {"rows": [ROW], "row_ids": ["r3"], "record": True}),
    sound("GET", f"/v1/apps/{APP}/pick"),
)
HEALTH = (sound("GET", "/health"), sound("GET", "/metrics"), sound("HEAD", "/health"))
_PAGES = (
    "journey", "models?start=0", "picker?start=1", "feasibility", "ci", "ci?details=1&start=0", "rows/pool?start=0",
    "rows/train?uncertain=1&from=a", "questions?annotator=ada",
)  # fmt: skip
_ANSWER = {"action": "answer", "annotator": "ada", "label": "yes", "value": 1, "request": "r1"}
DASHBOARD: tuple[Request, ...] = (
    *(sound("GET", f"/api/apps/{APP}/{page}") for page in _PAGES),
    *(sound("GET", place) for place in ("/", "/api/session", "/api/apps", "/api/operations", "/api/letters?start=0",
                                        "/api/letters/none", f"/api/changes?app={APP}", "/static/main.js", "/subjects",
                                        "/schemas/ids/1", "/subjects/easeml.apps.v1-value/versions")),
    *(sound("POST", f"/api/apps/{APP}/questions/{QUESTION}", _ANSWER | {"action": action})
      for action in ("answer", "skip", "claim", "release")),
    sound("POST", "/api/session", {"token": TOKEN}),
    sound("DELETE", "/api/session"),
    sound("POST", f"/api/apps/{APP}", {"action": "resume"}),
    sound("POST", f"/api/apps/{APP}", {"action": "erase", "confirm": "no"}),
    sound("POST", "/api/letters/none", {"action": "redrive"}),
)  # fmt: skip
