"""The services that run on this machine."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.errors import ConfigurationError
from runtime.settings.loader import load
from runtime.settings.model import PREFIX, Settings
from sternpost.local import services


def test_a_child_process_reads_the_settings_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    ours = load(
        None,
        {
            "kafka.properties": {"security.protocol": "SASL_SSL", "sasl.password": "p,= {}"},
            "schema_registry.basic_auth": "user:password",
            "topics.raw_retention_ms": -1,
            "sources": [{"name": "one", "write_keys": ["k1", "k2"], "signing_keys": ["s1"]}],
            "processor.profile": "corrected",
            "processor.state_dir": tmp_path / "state",
            "log.level": "debug",
        },
    )
    monkeypatch.setenv("STERNPOST_TOPICS__RAW", "of the parent's environment")
    environment = services.environment_for(ours)
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    theirs = load()
    assert {name: getattr(theirs, name) for name in Settings.model_fields} == {
        name: getattr(ours, name) for name in Settings.model_fields
    }
    assert theirs.sources[0].write_keys == [SecretStr("k1"), SecretStr("k2")]


def test_a_cluster_without_a_registry_is_an_error_that_names_the_variable() -> None:
    services.require_own_registry(kafka_given=False, registry_given=False)
    services.require_own_registry(kafka_given=True, registry_given=True)
    with pytest.raises(ConfigurationError, match="set STERNPOST_SCHEMA_REGISTRY__URL"):
        services.require_own_registry(kafka_given=True, registry_given=False)
