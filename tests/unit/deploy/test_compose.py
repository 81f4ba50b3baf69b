"""docker-compose.yml against the roster, the settings and the house's rules on containers."""

from __future__ import annotations

import importlib.util
import re

import pytest
import yaml
from deploy_files import COMPOSE, DEPLOY, MODULES, PROMETHEUS, ROOT, variable

from easeml.cli.verbs import VERBS
from easeml.stream.settings import Settings
from easeml.stream.tracing import wanted

OURS = {name: service for name, service in COMPOSE.items() if "easeml:" in service["image"]}
LASTING = {name: service for name, service in OURS.items() if name in MODULES}
WRITABLE = {"kafka", "schema-registry"}
"""Images of others whose start scripts write beside their data."""


def test_every_process_of_a_house_runs_and_none_twice():
    commands = {name: service["command"] for name, service in LASTING.items()}
    assert commands == {name: ["python", "-m", module] for name, module in MODULES.items()}
    assert OURS.keys() - LASTING.keys() == {"topics", "doors", "schemas"}
    assert all(importlib.util.find_spec(module) for module in [*MODULES.values(), OURS["topics"]["command"][2]])
    assert OURS["schemas"]["command"][1] in VERBS
    assert "deploy" not in OURS["automl"]
    assert "scale" not in OURS["automl"]


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_and_every_file_of_a_secret_is_there(name):
    service = OURS[name]
    ours = {key: str(value) for key, value in service["environment"].items() if key.startswith("EASEML_")}
    assert ours.keys()
    assert [key for key in ours if not variable(key)] == []
    files = [str(v) for v in service["environment"].values() if str(v).startswith("/run/secrets/")]
    assert {file.rpartition("/")[2] for file in files} <= set(service["secrets"])
    assert not [key for key in ours if re.search("TOKEN|PASSWORD|SEED", key) and not key.endswith("_FILE")]


def test_traces_are_off_until_an_endpoint_is_named():
    given = {key: str(value) for key, value in LASTING["ci"]["environment"].items() if key.startswith("OTEL_")}
    plain = {key: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for key, value in given.items()}
    assert not wanted(plain)
    assert wanted(plain | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    assert {key for key, value in given.items() if value != f"${{{key}:-{plain[key]}}}"} == set(), "named as outside"


@pytest.mark.parametrize("name", COMPOSE)
def test_a_container_may_do_little(name):
    service = COMPOSE[name]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "minio-folder" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) == (name not in WRITABLE)
    assert "privileged" not in service
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["restart"] in {"unless-stopped", "on-failure:10", "no"}
    assert service["healthcheck"].get("disable") or service["healthcheck"]["test"][0] == "CMD"
    assert all(re.match(r"(\$\{EASEML_DOORS:-)?127\.0\.0\.1\}?:", port) for port in service.get("ports", []))
    assert not service["image"].endswith(":latest")
    assert ":" in service["image"]
    if name in OURS:
        assert service["user"] == "10001:10001"
        assert any(place.startswith("/var/lib/easeml/run:uid=10001") for place in service["tmpfs"])


def test_settings_of_all_processes_may_be_given_outside_and_are_else_what_they_are_anywhere():
    given = {
        key: str(value) for key, value in LASTING["ci"]["environment"].items() if str(value).startswith("${EASEML_")
    }
    for name, value in given.items():
        default = Settings.model_fields[name.removeprefix("EASEML_").lower()].default
        assert value == f"${{{name}:-{default}}}"


def test_the_doors_speak_tls_with_one_file_more():
    more = yaml.safe_load((DEPLOY / "compose.tls.yml").read_text())
    assert (
        {name for name in LASTING if name in more["services"]}
        == {"labels", "dashboard", "serving"}
        == {*more["services"]}
    )
    for service in more["services"].values():
        assert all(variable(name) for name in service["environment"])
        files = {value.removeprefix("/run/secrets/") for value in service["environment"].values()}
        assert files == set(service["secrets"]) == more["secrets"].keys()
    assert all(place["file"] == f"deploy/secrets/{name}" for name, place in more["secrets"].items())


def test_whatever_is_waited_for_is_there_and_tells_how_it_is():
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name, service in COMPOSE.items():
        for other, how in service.get("depends_on", {}).items():
            waited = COMPOSE[other]
            ends = how["condition"] == "service_completed_successfully"
            assert bool(waited["healthcheck"].get("disable")) == ends, (name, other)
        if service.get("network_mode"):
            assert service["network_mode"].removeprefix("service:") in COMPOSE
            assert "ports" not in service
        assert set(service.get("secrets", [])) <= document["secrets"].keys()
        named = {place.partition(":")[0] for place in service.get("volumes", [])}
        assert {place for place in named if not place.startswith("./")} <= document["volumes"].keys()
        assert all((ROOT / place).exists() for place in named if place.startswith("./"))
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().split()


def test_who_shares_a_network_shares_no_port():
    together = [service for service in OURS.values() if service.get("network_mode") == "service:doors"]
    ports = [service["environment"]["EASEML_HEALTH_PORT"] for service in together]
    assert len(set(ports)) == len(ports) == 2


def test_it_is_the_kafka_that_is_tested():
    version = re.search(
        r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)", (DEPLOY / "kafka/pom.xml").read_text()
    )
    assert COMPOSE["kafka"]["image"] == f"apache/kafka:{version.group(1)}"


def test_prometheus_asks_every_process():
    fixed, trainers = PROMETHEUS["scrape_configs"]
    targets = {target for group in fixed["static_configs"] for target in group["targets"]}
    places = {name: service.get("network_mode", f"service:{name}")[8:] for name, service in LASTING.items()}
    wanted = {f"{places[name]}:{service['environment']['EASEML_HEALTH_PORT']}" for name, service in LASTING.items()}
    (found,) = trainers["dns_sd_configs"]
    assert targets | {f"{found['names'][0]}:{found['port']}"} == wanted
    assert all((DEPLOY / "prometheus" / name).exists() for name in PROMETHEUS["rule_files"])
