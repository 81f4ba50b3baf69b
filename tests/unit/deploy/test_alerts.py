"""Alerts and board ask for what the processes tell, and every alert has its section in the runbook."""

from __future__ import annotations

import re

import pytest
import yaml
from deploy_files import ALERTS, BOARD, COMPOSE, DEPLOY, MODULES
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import parse

from easeml.stream.metrics import Metrics

RUNBOOK = (DEPLOY / "README.md").read_text()
QUERIES = [target["expr"].replace("$service", ".*") for panel in BOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [alert["expr"] for alert in ALERTS] + QUERIES
_SELECTOR = re.compile(r"\b(easeml_\w+|process_\w+|up)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*=~?\s*\"([^\"]*)\"")


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """Labels of every sample that a service may tell, by its name."""
    metrics = Metrics("one")
    for metric in vars(metrics).values():
        names = getattr(metric, "_labelnames", ())
        if names:
            metric.labels(*names)
    samples: dict[str, set[str]] = {"up": {"job", "instance"}}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return samples


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_is_sound_and_asks_for_what_is_told(expression, told):
    parse(expression)
    asked = _SELECTOR.findall(expression)
    assert asked
    for name, labels in asked:
        assert name in told
        assert {label for label, _ in _LABEL.findall(labels)} <= told[name]
    grouped = {label.strip() for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in by.split(",")}
    assert grouped <= set().union(*(told[name] for name, _ in asked))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert):
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"]["summary"].endswith(".")
    page, _, section = alert["annotations"]["runbook"].partition("#")
    assert page == "deploy/README.md"
    assert section == alert["alert"].lower()
    assert f"\n### {alert['alert']}\n" in RUNBOOK


def test_every_process_that_is_missing_raises_an_alert():
    watched = {
        name
        for alert in ALERTS
        if alert["alert"] in ("EasemlServiceMissing", "EasemlNoTicks")
        for name in re.findall(r"absent\(easeml_\w+\{service=\"(\w+)\"\}\)", alert["expr"])
    }
    assert watched == set(MODULES)


def test_a_process_that_has_done_nothing_yet_tells_what_its_alerts_count_from():
    counted = {
        name
        for alert in ALERTS
        for name in re.findall(r"(?:increase|changes|rate)\((\w+_(?:total|seconds|bucket))", alert["expr"])
    }
    families = text_string_to_metric_families(Metrics("one").render().decode())
    fresh = {sample.name: sample.value for family in families for sample in family.samples}
    assert counted - set(fresh) == {"easeml_dead_letters_total"}  # of what reason, only the first one tells
    assert {fresh[name] for name in counted & set(fresh) if name.startswith("easeml")} == {0.0}


def test_the_runbook_is_about_alerts_that_exist():
    assert set(re.findall(r"^### (Easeml\w+)$", RUNBOOK, re.MULTILINE)) == {alert["alert"] for alert in ALERTS}


def test_the_board_is_provisioned_with_the_data_that_it_asks():
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (boards,) = yaml.safe_load((provisioning / "dashboards" / "easeml.yml").read_text())["providers"]
    assert {target["datasource"]["uid"] for panel in BOARD["panels"] for target in panel["targets"]} == {source["uid"]}
    assert source["url"] == f"http://prometheus:{COMPOSE['prometheus']['ports'][0].rpartition(':')[2]}"
    assert f"./deploy/grafana/boards:{boards['options']['path']}:ro" in COMPOSE["grafana"]["volumes"]
    home = COMPOSE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{boards['options']['path']}/easeml.json"
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    assert len({(place["x"], place["y"]) for place in places}) == len(places)
