"""The files of a deployment, parsed once, and what the sources say about the processes in them."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from pydantic import SecretStr

from easeml.stream.settings import Settings
from easeml.supervisor.roster import PROCESSES

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "easeml"

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
BOARD = json.loads((DEPLOY / "grafana" / "boards" / "easeml.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())

MODULES = {name: module.removesuffix(".__main__") for name, module in PROCESSES.items()} | {
    "clock": "easeml.supervisor.clock"
}
"""Module of every process that runs for ever, by its name."""
SINGLE = {"clock", "labels", "dashboard", "serving", "automl"}
"""Of these there is one: the clock, the scheduler, and the doors, which answer for the apps of their own partitions."""


def variable(name: str) -> bool:
    """Return whether an ``EASEML_`` variable is read by somebody."""
    field = name.removeprefix("EASEML_").lower()
    secret = Settings.model_fields.get(field.removesuffix("_file"))
    return field in Settings.model_fields or (secret is not None and secret.annotation is SecretStr)
