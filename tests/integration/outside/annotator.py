"""Answers questions of Ease.ML with nothing of Ease.ML: grpcio and what ``proto/`` generates.

    python -m grpc_tools.protoc -I ../../../proto/easeml/labels/v1 --python_out=generated --grpc_python_out=generated \\
        labels.proto
    PYTHONPATH=generated python annotator.py --target 127.0.0.1:50151 --app churn --label yes

asks the server whether it is well and what it offers, lists the questions of the app, answers the best one twice under
one request id (as after a lost connection), and prints what happened as JSON.
"""

from __future__ import annotations

import argparse
import json
import uuid

import grpc
import labels_pb2
import labels_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SERVICE = "easeml.labels.v1.LabelService"


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True, help="host:port of the label service")
    parser.add_argument("--app", required=True, help="name of the app")
    parser.add_argument("--label", required=True, help="the answer: text of a candidate")
    options = parser.parse_args()
    with grpc.insecure_channel(options.target) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        inquiries = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        ]
        services, files = reflection.ServerReflectionInfo(iter(inquiries), timeout=10)
        stub = labels_pb2_grpc.LabelServiceStub(channel)
        listed = stub.ListQuestions(labels_pb2.ListQuestionsRequest(app=options.app, page_size=10), timeout=10)
        question = listed.questions[0]
        request = labels_pb2.SubmitAnswerRequest(
            app=question.app,
            question=question.question,
            label=options.label,
            annotator="outsider",
            request_id=str(uuid.uuid4()),
        )
        first, second = (stub.SubmitAnswer(request, timeout=10) for _ in range(2))
        budget = stub.GetBudget(labels_pb2.GetBudgetRequest(app=options.app), timeout=10)
    report = {
        "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status),
        "services": [service.name for service in services.list_services_response.service],
        "described": len(files.file_descriptor_response.file_descriptor_proto),
        "question": question.question,
        "candidates": [candidate.text for candidate in question.candidates],
        "row": {cell.column: cell.number for cell in question.row},
        "annotation": first.annotation_id,
        "repetition": second.annotation_id,
        "granted": [item.granted for item in budget.budgets],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
