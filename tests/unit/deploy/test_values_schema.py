"""The schema of the chart's values."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import SecretStr

from runtime.masking import is_secret
from runtime.settings.loader import fields

CHART = Path(__file__).parents[3] / "deploy/helm/sternpost"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
LEFT_TO_THE_CHART = {"processor.instance_id", "processor.state_dir", "ingest.tls_certificate", "ingest.tls_key"}


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the schema describes, by its path."""
    if isinstance(schema, list):
        for inner in schema:
            yield from objects(inner, path)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" or "object" in (schema.get("type") or []):
            yield path, schema
        for name, inner in schema.get("properties", {}).items():
            yield from objects(inner, f"{path}.{name}")
        for word in ("items", "anyOf", "additionalProperties"):
            yield from objects(schema.get(word), f"{path}.{word}")


def test_the_default_values_are_as_the_schema_wants_them() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)


def test_the_schema_is_closed_at_every_level() -> None:
    found = dict(objects(SCHEMA))
    assert len(found) > 30
    for path, schema in found.items():
        others = schema.get("additionalProperties")
        if others is not False:  # labels, annotations, librdkafka's properties: any name, but a plain value
            assert isinstance(others, dict), path
            assert "properties" not in schema, path
            assert set([others["type"]] if isinstance(others["type"], str) else others["type"]) <= {
                "string",
                "number",
                "boolean",
            }, path


def test_every_value_that_there_is_has_a_default_in_values_yaml() -> None:
    def missing(schema: dict[str, Any], values: Any, path: str) -> Iterator[str]:
        for name, inner in schema.get("properties", {}).items():
            if path.startswith(".settings") or name == "global":
                continue  # Sternpost's own defaults hold
            if name not in values:
                yield f"{path}.{name}"
            elif isinstance(values[name], dict):
                yield from missing(inner, values[name], f"{path}.{name}")

    assert not list(missing(SCHEMA, VALUES, ""))


def test_every_setting_can_be_set_but_for_secrets_and_what_the_chart_sets_itself() -> None:
    sections = SCHEMA["properties"]["settings"]["properties"]
    for name, info in fields():
        section, _, setting = name.partition(".")
        secret = SecretStr in getattr(info.annotation, "__args__", ()) or info.annotation is SecretStr
        held = setting in sections.get(section, {}).get("properties", {})
        assert held == (section != "sources" and not secret and name not in LEFT_TO_THE_CHART), name


@pytest.mark.parametrize(
    "change",
    [
        {"ingress": {}},
        {"ingest": {"replcas": 3}},
        {"ingest": {"resources": {"limit": {}}}},
        {"ingest": {"tolerations": [{"keys": "x"}]}},
        {"settings": {"ingest": {"prot": 1}}},
        {"settings": {"ingest": {"port": 0}}},
        {"settings": {"ingest": {"produce_deadline_ms": 3_801}}},
        {"settings": {"processor": {"profile": "other"}}},
        {"settings": {"sources": [{"name": "a", "write_keys": ["b"]}]}},
        {"settings": {"schema_registry": {"basic_auth": "user:password"}}},
        {"settings": {"schema_registry": {"url": "https://user:password@registry.example.com"}}},
        {"settings": {"kafka": {"properties": {"sasl.password": "x"}}}},
        {"settings": {"kafka": {"properties": {"ssl.key.pem": "x"}}}},
        {"processor": {"autoscaling": {"kind": "vpa"}}},
        {"networkPolicy": {"webhookFrom": [{"ipblock": {}}]}},
        {"networkPolicy": {"extraEgressPorts": ["https"]}},
        {"serviceAccount": {"annotation": {}}},
        {"extraEnv": [{"value": "a"}]},
        {"extraEnv": [{"name": "STERNPOST_INGEST__PORT", "value": "1"}]},
        {"extraEnv": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "a"}]},
    ],
    ids=str,
)
def test_a_typo_a_bound_and_a_secret_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(change, SCHEMA)


@pytest.mark.parametrize(
    "name",
    [
        *("sasl.password", "sasl.username", "ssl.key.pem", "ssl.key.location", "ssl.keystore.password"),
        *("sasl.oauthbearer.client.secret", "sasl.oauthbearer.token.endpoint.url", "ssl.ca.location", "linger.ms"),
        *("sasl.oauthbearer.config", "basic.auth.user.info", "basic.auth.credentials.source", "security.protocol"),
    ],
)
def test_properties_that_hold_a_secret_are_those_that_are_masked(name: str) -> None:
    for section, setting in (("kafka", "properties"), ("schema_registry", "properties")):
        change = {"settings": {section: {setting: {name: "x"}}}}
        assert jsonschema.Draft7Validator(SCHEMA).is_valid(change) != is_secret(name)
