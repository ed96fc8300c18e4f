"""The chart's own pods, run by podman with the security context that the chart gives them."""

import json
import os
import stat
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.image import Images
from tests.deploy.test_chart import manifests, one
from tests.deploy.tools import outcome, run, tool
from tests.support.kafka import SIGNING_KEY, WRITE_KEY, Kafka, TopicMaker
from tests.support.ports import free_ports
from tests.support.waiting import until

START_S = 240.0


@pytest.mark.timeout(1800)
def test_both_pods_of_the_chart_take_webhooks_to_events(
    images: Images, kafka: Kafka, make_topics: TopicMaker, tmp_path: Path
) -> None:
    topics = make_topics()
    webhook, ingest_admin, processor_admin = free_ports(3)
    # On the machine's own network, so that the pods reach the brokers: each needs ports of its own.
    settings: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
        "schema_registry": {"url": kafka.registry_url, "auto_register": True},
        "topics": topics.model_dump(exclude_defaults=True),
        "ingest": {"port": webhook, "admin_port": ingest_admin, "drain_delay_ms": 0},
        "processor": {"admin_port": processor_admin, "group_id": topics.raw, "workers": 1},
    }
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "sternpost.toml").write_text(
        f'[[sources]]\nname = "test"\nwrite_keys = ["{WRITE_KEY}"]\nsigning_keys = ["{SIGNING_KEY}"]\n', "utf-8"
    )
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65532, 65532)
    for folder in (secret, *tmp_path.parents[:3]):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o055)  # not less than before: one of them is /tmp
    name, tag = images.tag.rsplit(":", 1)
    values = {"image": {"repository": name, "tag": tag, "pullPolicy": "Never"}, "settings": settings}
    found = manifests(tmp_path, values)
    folders = {"settings": secret, "state": state}
    pods = [pod(one(found, kind), folders) for kind in ("Deployment", "StatefulSet")]
    files = []
    try:
        for each in pods:
            file = tmp_path / f"{each['metadata']['name']}.yaml"
            file.write_text(yaml.safe_dump(each), "utf-8")
            files.append(file)
            images.podman("kube", "play", "--network=host", file)
        for each, component in zip(pods, ("ingest", "processor"), strict=True):
            container = f"{each['metadata']['name']}-{component}"
            command = (tool("podman"), "exec", container, "sternpost", "healthcheck", "--ready", component)
            until(lambda c=command: outcome(*c, environment=images.environment).returncode == 0, START_S)  # type: ignore[misc]
        program = Path(sys.executable).with_name("sternpost")
        local = tmp_path / "local.toml"
        local.write_text((secret / "sternpost.toml").read_text("utf-8"), "utf-8")
        variables = {
            f"STERNPOST_{section}__{setting}".upper(): str(value)
            for section, inner in settings.items()
            for setting, value in inner.items()
        }
        sent = run(program, "--config", local, "send", "--json", environment=variables)
        number = json.loads(sent.splitlines()[-1])["acknowledged"]
        tailed = run(
            *(program, "--config", local, "tail", "--from-beginning", f"--count={number}", "--idle-s=60"),
            environment=variables,
        )
        assert len({json.loads(line)["messageId"] for line in tailed.splitlines()}) == number > 60
    finally:
        for file in files:
            outcome(tool("podman"), "kube", "down", file, environment=images.environment)


def pod(manifest: dict[str, Any], folders: dict[str, Path]) -> dict[str, Any]:
    """A pod as the cluster would make it of the template, with folders of this machine for its volumes."""
    name = f"{manifest['metadata']['name']}-{uuid.uuid4().hex[:6]}"
    spec = manifest["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    volumes |= {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])}
    for container in spec["containers"]:
        container.pop("ports")  # podman maps them, and on the machine's own network there is nothing to map
        for variable in container["env"]:
            if "valueFrom" in variable:
                assert variable.pop("valueFrom") == {"fieldRef": {"fieldPath": "metadata.name"}}
                variable["value"] = name
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(probe)  # podman has systemd ask them
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            **spec,
            "hostNetwork": True,
            "restartPolicy": "Never",
            "volumes": [
                {"name": volume, "hostPath": {"path": str(folders[volume]), "type": "Directory"}}
                for volume in sorted(volumes)
            ],
        },
    }
