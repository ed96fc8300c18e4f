"""The Compose file, run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings.loader import load
from tests.deploy.tools import CHART, DEPLOY, ROOT, outcome, run, tool

FILE = DEPLOY / "compose.yaml"
ONE_SHOT = {"topics", "schema"}
OURS = {*ONE_SHOT, "ingest", "processor"}
FILLED_IN = {"STERNPOST_WRITE_KEY": "a-key", "STERNPOST_SIGNING_KEYS": '["one", "two"]'}


def composed(environment: dict[str, str]) -> Any:
    """The file as it is after substitution and merging."""
    return yaml.safe_load(run(tool("podman-compose"), "--file", FILE, "config", environment=environment))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = composed(FILLED_IN)["services"]
    return found


def test_it_is_a_compose_file() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE)


def test_it_does_not_start_without_a_key() -> None:
    command = (tool("podman-compose"), "--file", FILE, "config")
    result = outcome(*command, environment={"STERNPOST_WRITE_KEY": ""})
    assert result.returncode != 0
    assert "openssl rand -hex 24" in result.stdout + result.stderr


def test_what_runs_on_has_a_health_check_and_is_waited_for(services: dict[str, Any]) -> None:
    assert set(services) >= OURS | {"kafka", "registry", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}, "the image's own would find nobody"
        else:
            assert service["healthcheck"]["test"][0] == "CMD", name
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert how["condition"] == expected, f"{name} waits for {other}"


def test_no_password_is_in_it_and_nothing_without_one_is_open(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable in service.get("environment", {}):
            assert not re.search("PASSWORD|SECRET|TOKEN", variable), f"{name}: {variable}"
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:"), f"{name}: {port}"
    grafana = services["grafana"]["environment"]
    assert grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


def test_our_services_are_restricted_and_get_settings_that_sternpost_takes(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OURS:
        service = services[name]
        assert service["image"] == "sternpost:local"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        with monkeypatch.context() as environment:
            for variable, value in service["environment"].items():
                environment.setenv(variable, value)
            settings = load()
        (source,) = settings.sources
        assert [key.get_secret_value() for key in source.signing_keys] == ["one", "two"]
        assert settings.topics.replication_factor == 1
    processor = services["processor"]
    assert any(str(volume).endswith(f":{processor['environment']['TMPDIR']}") for volume in processor["volumes"])


def test_signing_keys_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = composed({"STERNPOST_WRITE_KEY": "a-key"})["services"]["ingest"]["environment"]
    monkeypatch.setenv("STERNPOST_SOURCES", environment["STERNPOST_SOURCES"])
    assert load().sources[0].signing_keys == []


def test_the_page_names_what_only_a_single_broker_may_have(services: dict[str, Any]) -> None:
    text = (ROOT / "docs/deploy.md").read_text("utf-8")
    for variable in services["topics"]["environment"]:
        if "REPLICA" in variable:
            assert f"`{variable}`" in text, variable


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = str(volume).split(":", maxsplit=1)[0]
            if source.startswith((".", "/")):
                assert (DEPLOY / source).is_dir(), f"{name}: {source}"
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (CHART / "files/dashboards" / Path(home).name).exists()


def test_prometheus_and_alertmanager_take_their_files_and_the_jobs_are_the_alerts(services: dict[str, Any]) -> None:
    folder = DEPLOY / "prometheus"
    run(tool("promtool"), "check", "config", folder / "prometheus.yaml")
    run(tool("amtool"), "check-config", folder / "alertmanager.yaml")
    jobs = yaml.safe_load((folder / "prometheus.yaml").read_text("utf-8"))["scrape_configs"]
    assert {job["job_name"] for job in jobs} == {"sternpost-ingest", "sternpost-processor"}
    for job in jobs:
        for target in job["static_configs"][0]["targets"]:
            host, port = target.split(":")
            assert host in services
            section = "ingest" if host == "ingest" else "processor"
            assert int(port) == getattr(load(), section).admin_port


def test_versions_of_kafka_and_the_registry_are_those_that_the_tests_know(services: dict[str, Any]) -> None:
    known = (ROOT / "tests/support/containers.py").read_text("utf-8")
    for name in ("kafka", "registry"):
        assert json.dumps(services[name]["image"]) in known
