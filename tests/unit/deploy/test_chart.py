"""The Helm chart: its values, and what it makes of them.

What helm makes of two files of values lies in ``tests/data/chart``, written by ``make chart``. It is examined on every
machine; that it is what the chart makes today is told by helm where it is installed, else by the digests of the files.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import subprocess

import pytest
import yaml
from deploy_files import CHART, COMPOSE, MODULES, ROOT, SINGLE, VALUES, variable
from jsonschema import Draft202012Validator

from easeml.stream.grants import CLOCK, DASHBOARD, HOUSE, account
from easeml.stream.topics import BY_NAME
from easeml.stream.tracing import wanted
from easeml.supervisor.roster import SERVICES

MADE = ROOT / "tests" / "data" / "chart"
CASES = ("default", "guarded")
SCHEMA = Draft202012Validator(json.loads((CHART / "values.schema.json").read_text()))
OTHERS = {"keda.sh", "monitoring.coreos.com"}


def manifests(text: str) -> dict[tuple[str, str], dict]:
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text) if one}


def merged(values: dict, more: dict) -> dict:
    return values | {
        key: merged(values[key], value) if isinstance(value, dict) and isinstance(values.get(key), dict) else value
        for key, value in more.items()
    }


@pytest.fixture(scope="module", params=CASES)
def case(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def made(case) -> dict[tuple[str, str], dict]:
    return manifests((MADE / f"{case}.manifests.yaml").read_text())


@pytest.fixture(scope="module")
def pods(made) -> dict[str, dict]:
    """Pod of every deployment and job, by its component."""
    kinds = ("Deployment", "Job")
    return {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["spec"]
        for (kind, _), one in made.items()
        if kind in kinds
    }


def test_what_is_examined_is_what_the_chart_makes_today():
    for line in (MADE / "SHA256SUMS").read_text().splitlines():
        digest, _, path = line.partition("  ")
        assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == digest, f"{path} has changed: run 'make chart'"
    told = {line.partition("  ")[2] for line in (MADE / "SHA256SUMS").read_text().splitlines()}
    there = {str(path.relative_to(ROOT)) for path in CHART.rglob("*") if path.is_file()}
    assert there <= told
    helm = shutil.which("helm")
    for name in CASES if helm else ():
        values = MADE / f"{name}.values.yaml"
        command = [helm, "template", "demo", CHART, "--namespace", "ml", "--values", values]
        now = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert manifests(now) == manifests((MADE / f"{name}.manifests.yaml").read_text())


def test_the_values_fit_their_schema(case):
    SCHEMA.validate(VALUES)
    SCHEMA.validate(merged(VALUES, yaml.safe_load((MADE / f"{case}.values.yaml").read_text())))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kafka.partitions", 0),
        ("kafka.bootstrapServers", "no port"),
        ("kafka.securityProtocol", "SASL"),
        ("kafka.securityProtocol", "SASL_SSL"),  # without an account
        ("kafka.user", "me"),
        ("artifacts.uri", "ftp://models"),
        ("home.accessMode", "ReadOnlyMany"),
        ("tls.askCallers", True),  # without a certificate
        ("services.ci.modul", "easeml.ci"),
        ("services.ci.module", "os"),
        ("services.dashboard.healthPort", None),
        ("services.trainer.scale.topic", "trials"),
        ("tracing.endpoint", "collector:4318"),
        ("tracing.sampler", "sometimes"),
        ("tracing.ratio", 2),
        ("replicas", 3),
    ],
)
def test_values_that_would_not_work_are_refused(path, value):
    values = copy.deepcopy(VALUES)
    *outer, last = path.split(".")
    place = values
    for name in outer:
        place = place[name]
    place[last] = value
    assert not SCHEMA.is_valid(values)


def test_every_process_of_a_house_runs(pods):
    found = {c["name"]: c["args"] for name, pod in pods.items() if name != "topics" for c in pod["containers"]}
    assert found == {name: ["python", "-m", module] for name, module in MODULES.items()}
    assert pods["topics"]["containers"][0]["args"] == COMPOSE["topics"]["command"]


def test_one_of_a_kind_is_never_two(made):
    for (kind, _), one in made.items():
        name = one["metadata"]["labels"].get("app.kubernetes.io/component")
        if kind == "Deployment" and name in SINGLE:
            assert one["spec"]["replicas"] == 1
            assert one["spec"]["strategy"] == {"type": "Recreate"}
        assert kind != "ScaledObject" or name not in SINGLE


def test_what_scales_scales_by_the_lag_that_it_commits(made, case):
    scaled = [one for (kind, _), one in made.items() if kind == "ScaledObject"]
    assert len(scaled) == (4 if case == "guarded" else 0)
    for one in scaled:
        name = one["metadata"]["labels"]["app.kubernetes.io/component"]
        (trigger,) = one["spec"]["triggers"]
        assert ("Deployment", one["spec"]["scaleTargetRef"]["name"]) in made
        assert "replicas" not in made["Deployment", one["spec"]["scaleTargetRef"]["name"]]["spec"]
        assert trigger["metadata"]["consumerGroup"] == f"easeml-{name}"
        assert name in BY_NAME[trigger["metadata"]["topic"]].consumed_by
        assert one["spec"]["maxReplicaCount"] <= 3  # as many as there are partitions
        assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in made
    for name, service in VALUES["services"].items():
        assert "scale" not in service or name in BY_NAME[service["scale"]["topic"]].consumed_by
        assert ("PodDisruptionBudget", f"demo-{name}") in made or "scale" not in service


def test_a_pod_keeps_to_the_restricted_profile(pods):
    for pod in pods.values():
        whole = pod["securityContext"]
        assert whole["runAsNonRoot"]
        assert whole["runAsUser"] == whole["fsGroup"] == 10001
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            mounts = [mount["name"] for mount in container["volumeMounts"]]
            assert {"tmp", "run", "home"} <= set(mounts) <= {volume["name"] for volume in pod["volumes"]}


def test_every_variable_is_a_setting_and_no_secret_stands_in_one(pods):
    for pod in pods.values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            environment = {pair["name"]: pair["value"] for pair in container["env"]}
            assert [name for name in environment if name.startswith("EASEML_") and not variable(name)] == []
            files = {value for name, value in environment.items() if value.startswith("/run/secrets/")}
            places = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
            for file in files:
                folder, _, name = file.rpartition("/")
                items = places[folder]["secret"].get("items")
                assert items is None or name in {item["path"] for item in items}


def test_traces_go_where_the_values_say_and_nowhere_else(pods, case):
    for pod in pods.values():
        for container in pod["containers"]:
            environment = {pair["name"]: pair["value"] for pair in container["env"] if pair["name"].startswith("OTEL_")}
            assert wanted(environment) == (case == "guarded")
            assert set(environment.values()) <= {"http://collector.monitoring:4318", "parentbased_traceidratio", "0.1"}


def test_on_a_cluster_with_accounts_each_has_its_own(pods, case):
    accounts = {
        container["name"]: pair["value"]
        for pod in pods.values()
        for container in pod["containers"]
        for pair in container["env"]
        if pair["name"] == "EASEML_SASL_USERNAME"
    }
    own = {name: account(name) for name in SERVICES} | {"dashboard": DASHBOARD, "clock": CLOCK, "topics": HOUSE}
    assert accounts == (own if case == "guarded" else {})
    for name, user in accounts.items():
        volumes = [v for pod in pods.values() for v in pod["volumes"] if v["name"] == f"secrets-{name}"]
        assert {"key": user, "path": "sasl_password"} in volumes[0]["secret"]["items"]


def test_probes_ask_the_ports_that_are_there(pods, case):
    for pod in pods.values():
        ports = [port["containerPort"] for container in pod["containers"] for port in container.get("ports", [])]
        names = [port["name"] for container in pod["containers"] for port in container.get("ports", [])]
        assert len(set(ports)) == len(ports)
        assert len(set(names)) == len(names)
        for container in pod["containers"]:
            own = {port["containerPort"] for port in container.get("ports", [])}
            environment = {pair["name"]: pair["value"] for pair in container["env"]}
            for probe in (container[kind] for kind in container if kind.endswith("Probe")):
                grpc = probe.get("grpc")
                assert (grpc or probe["httpGet"])["port"] in own
                # Kubernetes speaks no TLS to gRPC
                assert grpc is None or (case == "default" and container["name"] == "labels")
            assert not own or int(environment["EASEML_HEALTH_PORT"]) in own
    labels = next(c for c in pods["labels"]["containers"] if c["name"] == "labels")
    assert ("grpc" in labels["readinessProbe"]) == (case == "default")


def test_only_the_doors_are_open_and_only_kafka_and_names_are_called(made, case):
    policies = {name: one["spec"] for (kind, name), one in made.items() if kind == "NetworkPolicy"}
    whole = policies.pop("demo")
    assert whole["podSelector"] == {
        "matchLabels": {"app.kubernetes.io/name": "easeml", "app.kubernetes.io/instance": "demo"}
    }
    assert sorted(whole["policyTypes"]) == ["Egress", "Ingress"]
    assert [port["port"] for rule in whole["egress"] for port in rule["ports"]] == (
        [53, 53, 9092] if case == "default" else [53, 53, 9094, 443, 4318]
    )
    health = {int(COMPOSE[name]["environment"]["EASEML_HEALTH_PORT"]) for name in MODULES}
    assert {port["port"] for rule in whole["ingress"] for port in rule["ports"]} == health
    doors = {name: [p["port"] for rule in one["ingress"] for p in rule["ports"]] for name, one in policies.items()}
    assert doors == {"demo-labels": [50151], "demo-serving": [50152], "demo-dashboard": [50153]}
    published = {int(port.rpartition(":")[2]) for name in ("doors", "serving") for port in COMPOSE[name]["ports"]}
    assert published == {port for ports in doors.values() for port in ports}
    services = {name: one["spec"] for (kind, name), one in made.items() if kind == "Service"}
    assert {name: [port["port"] for port in one["ports"]] for name, one in services.items()} == doors
    for name, one in services.items():
        assert one["selector"] == policies[name]["podSelector"]["matchLabels"]
