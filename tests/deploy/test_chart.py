"""The Helm chart: what it renders, and that Kubernetes takes it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from runtime.settings.loader import load
from runtime.settings.model import Settings
from tests.deploy.tools import CHART, TOOLS, absent, outcome, run, tool

EVERYTHING: dict[str, Any] = {
    "fullnameOverride": "webhooks",
    "labels": {"team": "data"},
    "image": {"digest": "sha256:" + "a" * 64, "pullSecrets": ["registry"]},
    "settings": {
        "kafka": {
            "bootstrap_servers": "a:9093,b:9093",
            "properties": {"security.protocol": "SASL_SSL", "linger.ms": 5},
        },
        "schema_registry": {"url": "https://registry.example.com", "ca_file": "/etc/sternpost/certificates/ca.pem"},
        "topics": {"partitions": 12, "raw_retention_ms": -1},
        "ingest": {"workers": 2, "max_body_bytes": 2_097_152, "port": 8443},
        "processor": {"workers": 3, "dead_letter_limit_ratio": 0.25, "session_timeout_ms": 60_000},
    },
    "certificates": {"configMap": "authorities", "secret": "client"},
    "ingest": {
        "tlsSecret": "certificate",
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "webhooks.example.com",
            "tlsSecret": "public",
            "annotations": {"a": "b"},
        },
        "annotations": {"a": "b"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "x", "operator": "Exists", "effect": "NoSchedule"}],
        "priorityClassName": "high",
    },
    "processor": {"autoscaling": {"kind": "hpa"}, "state": {"storageClassName": "fast"}},
    "networkPolicy": {
        "webhookFrom": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
        "kafkaPorts": [9093, 9094],
        "extraEgressPorts": [80, 4318],
    },
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/sternpost"}},
    "extraEnv": [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"},
        {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": {"name": "aws", "key": "secret"}}},
    ],
    "monitoring": {
        "repositoryUrl": "https://git.example.com/sternpost/blob/main",
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
    },
}
BARE = {
    "secrets": {"ingest": "", "processor": "", "provisioning": ""},
    "ingest": {"autoscaling": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "processor": {"podDisruptionBudget": {"enabled": False}},
    "provisioning": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "monitoring": {"dashboards": {"enabled": False}},
}
KEDA = {"processor": {"autoscaling": {"kind": "keda", "authenticationRef": "kafka"}}}
VARIANTS: dict[str, dict[str, Any]] = {"default": {}, "everything": EVERYTHING, "bare": BARE, "keda": KEDA}

Manifest = dict[str, Any]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


def helm(folder: Path, *arguments: object) -> Any:
    """Run helm with all that it keeps in `folder`."""
    kept = {f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    return outcome(tool("helm"), *arguments, environment=kept)


def template(folder: Path, values: dict[str, Any], *options: str) -> str:
    """The chart's manifests as text."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), "utf-8")
    result = helm(folder, "template", "release", CHART, "--namespace=pipeline", "--values", file, *options)
    assert result.returncode == 0, result.stderr
    said: str = result.stdout
    return said


def manifests(folder: Path, values: dict[str, Any]) -> list[Manifest]:
    return [found for found in yaml.safe_load_all(template(folder, values)) if found]


def pods(found: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec, by its manifest's kind and name."""
    for manifest in found:
        if "template" in manifest.get("spec", {}):
            yield f"{manifest['kind']}/{manifest['metadata']['name']}", manifest["spec"]["template"]["spec"]
        elif manifest["kind"] == "Pod":
            yield f"Pod/{manifest['metadata']['name']}", manifest["spec"]


def one(found: list[Manifest], kind: str, ending: str = "") -> Manifest:
    (manifest,) = (m for m in found if m["kind"] == kind and m["metadata"]["name"].endswith(ending))
    return manifest


def test_helm_lints_it(tmp_path: Path, variant: dict[str, Any]) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(variant), "utf-8")
    result = helm(tmp_path, "lint", "--strict", CHART, "--values", file)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("version", ["1.27", "1.33"])
def test_kubernetes_knows_every_field(tmp_path: Path, variant: dict[str, Any], version: str) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(template(tmp_path, variant, f"--kube-version={version}"), "utf-8")
    said = run(tool("kubernetes-validate"), "--strict", f"--kubernetes-version={version}", file)
    assert "ERROR" not in said


def test_the_operators_know_every_field(tmp_path: Path) -> None:
    for values in ({**EVERYTHING}, KEDA):
        checked = set()
        for manifest in manifests(tmp_path, values):
            group, _, version = manifest["apiVersion"].partition("/")
            if group in ("monitoring.coreos.com", "keda.sh"):
                jsonschema.validate(manifest, custom_schema(manifest["kind"], version))
                checked.add(manifest["kind"])
        assert checked == ({"ScaledObject"} if values is KEDA else {"PodMonitor", "PrometheusRule"})


def custom_schema(kind: str, version: str) -> dict[str, Any]:
    """The schema of a custom resource, closed: the cluster itself would drop what it does not know."""
    for file in sorted((TOOLS / "crds").glob("*.yaml")):
        definition = yaml.safe_load(file.read_text("utf-8"))["spec"]
        if definition["names"]["kind"] == kind:
            (found,) = (each for each in definition["versions"] if each["name"] == version)
            schema = found["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            whole: dict[str, Any] = closed(schema)
            return whole
    absent(f"the custom resource definition of {kind}")
    raise AssertionError(kind)


def closed(schema: Any) -> Any:
    if isinstance(schema, dict):
        # Go's regular expressions take flags where Python's do not; the operator itself checks these texts.
        kept = {key: closed(value) for key, value in schema.items() if not (key == "pattern" and "(?i)" in str(value))}
        if "properties" in kept and isinstance(kept["properties"], dict) and kept.get("type") == "object":
            kept.setdefault("additionalProperties", bool(kept.get("x-kubernetes-preserve-unknown-fields")))
        if kept.get("x-kubernetes-int-or-string"):
            kept.pop("type", None)
        return kept
    return [closed(each) for each in schema] if isinstance(schema, list) else schema


def test_kube_score_finds_nothing_critical(tmp_path: Path, variant: dict[str, Any]) -> None:
    if variant is BARE:
        pytest.skip("what it would find was switched off by hand")
    result = outcome(tool("kube-score"), "score", "--output-format=json", "-", text=template(tmp_path, variant))
    found = [
        f"{each['object_name']}: {check['check']['name']}: {[c['summary'] for c in check['comments'] or []]}"
        for each in json.loads(result.stdout)
        for check in each["checks"]
        if check["grade"] == 1 and not check["skipped"]
    ]
    assert not found


def test_every_pod_meets_the_restricted_standard(tmp_path: Path, variant: dict[str, Any]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    for name, spec in pods(manifests(tmp_path, variant)):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        for volume in spec.get("volumes") or []:
            assert set(volume) - {"name"} <= {"secret", "configMap", "projected", "persistentVolumeClaim"}, name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["runAsNonRoot"] is True, name
            assert context["runAsUser"] == 65532, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


def test_what_the_pods_get_are_settings_that_sternpost_takes(
    tmp_path: Path, variant: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "sternpost.toml"
    secret.write_text('[[sources]]\nname = "production"\nwrite_keys = ["secret"]\n', "utf-8")
    for name, spec in pods(manifests(tmp_path, variant)):
        for container in spec["containers"]:
            with monkeypatch.context() as environment:
                for each in container["env"]:
                    value = each.get("value") or f"{name.rpartition('/')[2]}-0"
                    environment.setenv(each["name"], str(secret) if each["name"] == "STERNPOST_CONFIG" else value)
                settings = load()
            given = variant.get("settings", {})
            for section, values in given.items():
                for setting, value in values.items():
                    in_force = getattr(getattr(settings, section), setting)
                    if isinstance(value, dict):
                        assert in_force == {key: str(each) for key, each in value.items()}
                    else:
                        assert str(in_force) == str(value), f"{section}.{setting}"
            assert bool(settings.sources) == (variant is not BARE)
            if name.startswith("StatefulSet"):
                assert settings.processor.instance_id == f"{name.rpartition('/')[2]}-0"


def test_a_pod_has_the_time_to_end_that_its_settings_give(tmp_path: Path) -> None:
    for values in (
        {},
        {"settings": {"ingest": {"drain_delay_ms": 20_000}, "processor": {"shutdown_timeout_ms": 90_000}}},
    ):
        found = manifests(tmp_path, values)
        ingest, processor = (values.get("settings", {}).get(name, {}) for name in ("ingest", "processor"))
        drain_ms = ingest.get("drain_delay_ms", 8_000) + Settings().ingest.drain_timeout_ms
        shutdown_ms = processor.get("shutdown_timeout_ms", Settings().processor.shutdown_timeout_ms)
        for kind, needed_ms in (("Deployment", drain_ms), ("StatefulSet", shutdown_ms)):
            grace_s = one(found, kind)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert needed_ms / 1000 + 5 < grace_s <= needed_ms / 1000 + 30


def test_no_rollout_leaves_customer_io_without_an_endpoint(tmp_path: Path) -> None:
    found = manifests(tmp_path, {})
    strategy = one(found, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in one(found, "Deployment")["spec"], "a rollout would undo what the autoscaler decided"
    assert one(found, "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2
    for component in ("ingest", "processor"):
        assert one(found, "PodDisruptionBudget", component)["spec"]["maxUnavailable"] == 1


def test_a_processor_keeps_its_name_and_its_state(tmp_path: Path) -> None:
    found = manifests(tmp_path, {})
    spec = one(found, "StatefulSet")["spec"]
    container = spec["template"]["spec"]["containers"][0]
    environment = {each["name"]: each for each in container["env"]}
    assert environment["STERNPOST_PROCESSOR__INSTANCE_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    (claim,) = spec["volumeClaimTemplates"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == claim["metadata"]["name"])
    assert environment["STERNPOST_PROCESSOR__STATE_DIR"]["value"].startswith(mount["mountPath"])
    assert spec["serviceName"] == one(found, "Service", "processor")["metadata"]["name"]


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        ({"processor": {"replicas": 9}}, 8),
        ({"processor": {"replicas": 4}, "settings": {"topics": {"partitions": 7}, "processor": {"workers": 2}}}, 3),
        ({"processor": {"autoscaling": {"kind": "hpa", "maxReplicas": 9}}}, 8),
        (
            {
                "processor": {"autoscaling": {"kind": "keda", "maxReplicas": 13}},
                "settings": {"topics": {"partitions": 12}},
            },
            12,
        ),
    ],
)
def test_no_processor_can_be_without_a_partition(tmp_path: Path, values: dict[str, Any], bound: int) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values), "utf-8")
    result = helm(tmp_path, "template", "release", CHART, "--values", file)
    assert result.returncode != 0
    assert f"at most {bound} pods would have work" in result.stderr


def test_scaling_ends_at_the_partitions(tmp_path: Path) -> None:
    settings = {"topics": {"partitions": 12}, "processor": {"workers": 5}}
    values = {"processor": {"autoscaling": {"kind": "keda"}}, "settings": settings}
    scaled = one(manifests(tmp_path, values), "ScaledObject")["spec"]
    assert scaled["maxReplicaCount"] == 2
    assert scaled["triggers"][0]["metadata"]["limitToPartitionsWithLag"] == "true"
    values = {"processor": {"autoscaling": {"kind": "hpa"}}, "settings": settings}
    assert one(manifests(tmp_path, values), "HorizontalPodAutoscaler", "processor")["spec"]["maxReplicas"] == 2


def test_no_secret_is_in_a_manifest(tmp_path: Path) -> None:
    found = manifests(tmp_path, EVERYTHING)
    assert not [each for each in found if each["kind"] == "Secret"]
    for _, spec in pods(found):
        for container in spec["containers"]:
            assert not [
                each
                for each in container["env"]
                if re.search("KEY|PASSWORD|AUTH|SOURCES", each["name"]) and not each.get("value", "/").startswith("/")
            ]


def test_keys_are_a_file_that_may_change_under_the_pod(tmp_path: Path) -> None:
    container = one(manifests(tmp_path, {}), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "settings")
    assert "subPath" not in mount, "the kubelet never changes what is mounted by subPath"


def labels_of(manifest: Manifest) -> dict[str, str]:
    """The labels of a manifest's pods."""
    found: dict[str, str] = manifest.get("spec", {}).get("template", manifest)["metadata"]["labels"]
    return found


def services_policy(found: list[Manifest]) -> dict[str, Any]:
    """The NetworkPolicy of all pods."""
    (spec,) = (
        manifest["spec"]
        for manifest in found
        if manifest["kind"] == "NetworkPolicy" and "annotations" not in manifest["metadata"]
    )
    return dict(spec)


def test_the_job_may_reach_what_its_own_version_needs(tmp_path: Path) -> None:
    """Policies add up: under that of the version before, a job without one of its own would not reach a new port."""
    for values in ({}, EVERYTHING):
        found = manifests(tmp_path, values)
        policy = one(found, "NetworkPolicy", "-provisioning")
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels_of(one(found, "Job")).items()
        assert policy["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(policy["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
        assert policy["spec"]["egress"] == services_policy(found)["egress"][:-1]


def test_helm_test_reaches_the_endpoint_whoever_else_may(tmp_path: Path) -> None:
    for values in ({}, EVERYTHING):
        found = manifests(tmp_path, values)
        doctor = labels_of(one(found, "Pod", "doctor"))
        (rule,) = (
            rule for rule in services_policy(found)["ingress"] if "webhook" in [port["port"] for port in rule["ports"]]
        )
        peers = [peer["podSelector"] for peer in rule.get("from", []) if "podSelector" in peer]
        assert "from" not in rule or any(peer["matchLabels"].items() <= doctor.items() for peer in peers)


def test_the_network_is_open_for_what_is_needed_and_no_more(tmp_path: Path) -> None:
    policy = services_policy(manifests(tmp_path, EVERYTHING))
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 9093, 9094, 443, 80, 4318, "webhook"}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {"webhook", "admin"}
    default = services_policy(manifests(tmp_path, {}))
    assert {port["port"] for rule in default["egress"] for port in rule["ports"]} == {53, 9092, 8081, "webhook"}


def test_topics_and_schema_come_before_the_pods_and_the_doctor_after(tmp_path: Path) -> None:
    found = manifests(tmp_path, {})
    job = one(found, "Job")
    spec = job["spec"]["template"]["spec"]
    account = one(found, "ServiceAccount", "provisioning")
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    hooks = [each["metadata"]["annotations"] for each in (account, job)]
    assert {each["helm.sh/hook"] for each in hooks} == {"pre-install,pre-upgrade"}
    assert [int(each["helm.sh/hook-weight"]) for each in hooks] == [-1, 0], "the account is there before its job"
    assert [each["args"] for each in (*spec["initContainers"], *spec["containers"])] == [
        ["topics", "create"],
        ["schema", "register"],
    ]
    doctor = one(found, "Pod", "doctor")
    assert doctor["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert doctor["spec"]["containers"][0]["args"] == [
        "doctor",
        "--url",
        f"http://{one(found, 'Service', 'ingest')['metadata']['name']}:80/v1/webhook",
    ]


def test_helm_test_leaves_the_endpoint_out_whose_certificate_has_another_name(tmp_path: Path) -> None:
    doctor = one(manifests(tmp_path, {"ingest": {"tlsSecret": "certificate"}}), "Pod", "doctor")
    assert doctor["spec"]["containers"][0]["args"] == ["doctor", "--no-endpoint"]


def test_all_pods_have_the_role_and_the_variables_that_were_given(tmp_path: Path) -> None:
    found = manifests(tmp_path, EVERYTHING)
    accounts = {each["metadata"]["name"]: each for each in found if each["kind"] == "ServiceAccount"}
    specs = list(pods(found))
    assert len(specs) == 4
    for name, spec in specs:
        account = accounts[spec["serviceAccountName"]]
        assert EVERYTHING["serviceAccount"]["annotations"].items() <= account["metadata"]["annotations"].items(), name
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            assert all(each in container["env"] for each in EVERYTHING["extraEnv"]), name


def test_a_processor_has_room_for_temporary_files(tmp_path: Path) -> None:
    (container,) = one(manifests(tmp_path, {}), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    (folder,) = (each["value"] for each in container["env"] if each["name"] == "TMPDIR")
    (state,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "state")
    assert folder == state


def test_alerts_and_dashboards_are_in_it(tmp_path: Path) -> None:
    found = manifests(tmp_path, EVERYTHING)
    rules = one(found, "PrometheusRule")["spec"]
    links = [rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"]]
    assert len(links) >= 15
    assert all(link.startswith("https://git.example.com/sternpost/blob/main/docs/operations.md#") for link in links)
    dashboards = [each for each in found if each["kind"] == "ConfigMap"]
    files = {path.name: json.loads(path.read_text("utf-8")) for path in (CHART / "files/dashboards").glob("*.json")}
    assert {name: json.loads(text) for each in dashboards for name, text in each["data"].items()} == files
    assert len(files) >= 3


def test_it_can_be_packaged(tmp_path: Path) -> None:
    release = ("--version", "1.2.3", "--app-version", "1.2.3")
    result = helm(tmp_path, "package", CHART, *release, "--destination", tmp_path)
    assert result.returncode == 0, result.stderr
    shown = helm(tmp_path, "template", tmp_path / "sternpost-1.2.3.tgz")
    images = set(re.findall(r"image: (\S+)$", shown.stdout, re.MULTILINE))
    assert images == {"sternpost:1.2.3"}, "it installs the image of its version"
