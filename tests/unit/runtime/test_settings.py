"""Settings: where they come from, and what is said of wrong ones."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import ConfigurationError
from runtime.kafka.clients import _check_files
from runtime.schema_registry import Registry
from runtime.schema_registry_failures import misconfigured
from runtime.settings.loader import load, origins, reload
from runtime.settings.model import SchemaRegistrySettings

Environment = Callable[..., None]


@pytest.fixture(autouse=True)
def _empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STERNPOST_")]:
        monkeypatch.delenv(name)


def test_options_beat_the_environment_which_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sternpost.toml"
    file.write_text('[kafka]\nbootstrap_servers = "file:1"\n[ingest]\nport = 1\nworkers = 1\nadmin_port = 1\n')
    monkeypatch.setenv("STERNPOST_INGEST__PORT", "2")
    monkeypatch.setenv("STERNPOST_INGEST__WORKERS", "2")
    settings = load(None, {"ingest.workers": 3})
    assert settings.kafka.bootstrap_servers == "file:1"
    assert (settings.ingest.admin_port, settings.ingest.port, settings.ingest.workers) == (1, 2, 3)

    sources = {origin.name: origin.source for origin in origins(None, {"ingest.workers": 3})}
    assert sources["ingest.admin_port"] == "sternpost.toml"
    assert sources["ingest.port"] == "STERNPOST_INGEST__PORT"
    assert sources["ingest.workers"] == "command line"
    assert sources["topics.raw"] == "default"


def test_sources_come_from_tables_in_the_file_or_json_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "other.toml"
    file.write_text('[[sources]]\nname = "a"\nwrite_keys = ["k1", "k2"]\n')
    assert [s.name for s in load(file).sources] == ["a"]
    monkeypatch.setenv("STERNPOST_SOURCES", '[{"name": "b", "write_keys": ["k"], "signing_keys": ["s"]}]')
    (source,) = load(file).sources
    assert (source.name, source.signing_keys[0].get_secret_value()) == ("b", "s")


def test_what_is_read_again_is_the_same_file_with_the_same_options(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[ingest]\nport = 1\n")
    settings = load(file, {"ingest.workers": 5})
    file.write_text("[ingest]\nport = 2\n")
    again = reload(settings)
    assert (again.ingest.port, again.ingest.workers) == (2, 5)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("STERNPOST_INGEST__PORT", "x", ["ingest.port", "STERNPOST_INGEST__PORT=8080", "integer"]),
        ("STERNPOST_INGEST__PORT", "70000", ["ingest.port", "65535"]),
        ("STERNPOST_INGEST__PRODUCE_DEADLINE_MS", "4000", ["ingest.produce_deadline_ms", "less than or equal to 3800"]),
        ("STERNPOST_PROCESSOR__PROFILE", "x", ["processor.profile", "rudderstack", "corrected"]),
        ("STERNPOST_KAFKA__BOOTSTRAP", "x", ["kafka.bootstrap", "did you mean kafka.bootstrap_servers?"]),
        ("STERNPOST_KAKFA__BOOTSTRAP_SERVERS", "x", ["did you mean STERNPOST_KAFKA__BOOTSTRAP_SERVERS?"]),
        ("STERNPOST_SOURCES", "[", ["STERNPOST_SOURCES", "JSON", "Example: "]),
        ("STERNPOST_TOPICS__RAW", "a topic", ["topics.raw", "Example: STERNPOST_TOPICS__RAW=customerio.raw"]),
        ("STERNPOST_TOPICS__RAW", "rudderstack.events", ["three different topics"]),
        ("STERNPOST_TOPICS__MIN_INSYNC_REPLICAS", "4", ["topics.min_insync_replicas (4)", "replication_factor (3)"]),
        ("STERNPOST_PROCESSOR__TRANSACTION_TIMEOUT_MS", "45000", ["processor.transaction_timeout_ms", "below"]),
        ("STERNPOST_TOPICS__RAW_RETENTION_MS", "3600000", ["topics.raw_retention_ms (3600000)", "(86400 s)"]),
        ("STERNPOST_INGEST__TLS_KEY", "/k", ["ingest.tls_certificate and ingest.tls_key go together"]),
    ],
)
def test_a_bad_value_is_named_with_its_problem_and_a_way_out(
    name: str, value: str, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load()
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "sources",
    [
        '[{"name": "a", "write_keys": ["hush"], "signing_key": "hush"}]',
        '[{"name": "a", "write_keys": {"hush": 1}}]',
        '[{"name": "a", "write_keys": ["hush"]}, {"name": "b", "write_keys": ["hush"]}]',
        '[{"name": "a", "write_keys": ["hush"]}, {"name": "a", "write_keys": ["hush2"]}]',
        '[{"name": "a", "write_keys": ["hush", ""]}]',
        '[{"name": "a", "write_keys": ["hush", "+"]}]',
        '[{"name": "a", "write_keys": ["hush", "\u200b"]}]',
        '[{"name": "a", "write_keys": ["hush+a"]}, {"name": "b", "write_keys": ["hush a "]}]',
        '[{"name": "a", "write_keys": ["hush"], "signing_keys": ["hush", ""]}]',
        '[{"name": "a", "write_keys": ["hush"], "signing_keys": [" "]}]',
        '[{"name": "a", "write_keys": ["hush"], "signing_keys": ["\u3000\ufeff"]}]',
        '[{"name": "a", "write_keys": ["hush"',
    ],
)
def test_no_error_about_sources_shows_a_key(sources: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNPOST_SOURCES", sources)
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert "hush" not in str(caught.value)
    assert "sources" in str(caught.value).lower()


def test_secrets_are_masked_where_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNPOST_SOURCES", '[{"name": "a", "write_keys": ["hush"], "signing_keys": ["hush"]}]')
    monkeypatch.setenv("STERNPOST_SCHEMA_REGISTRY__BASIC_AUTH", "user:hush")
    monkeypatch.setenv("STERNPOST_SCHEMA_REGISTRY__URL", "https://user:hush@registry.example.com")
    monkeypatch.setenv(
        "STERNPOST_KAFKA__PROPERTIES",
        '{"sasl.password": "hush", "ssl.key.password": "hush", "ssl.key.pem": "hush", "sasl.username": "me"}',
    )
    shown = {origin.name: origin.value for origin in origins()}
    assert "hush" not in repr(shown)
    assert shown["kafka.properties"]["sasl.username"] == "me"
    assert "hush" not in repr(load())


def test_a_missing_and_a_broken_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.toml is not there"):
        load(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[kafka\n")
    with pytest.raises(ConfigurationError, match=r"broken\.toml is not valid TOML"):
        load(broken)
    broken.write_text("a = " + "9" * 5_000)
    with pytest.raises(ConfigurationError, match=r"broken\.toml is not valid TOML"):
        load(broken)
    for deep in ("a = " + "[" * 50_000, "[kafka.properties]\n" + "a." * 5_000 + "a = 1"):
        broken.write_text(deep)
        with pytest.raises(ConfigurationError, match=r"broken\.toml nests tables or lists hundreds of levels deep"):
            load(broken)
    broken.write_text('[kafak]\nbootstrap_servers = "x:1"\n')
    with pytest.raises(ConfigurationError, match="there is no setting kafak"):
        load(broken)


@pytest.mark.parametrize("error", [errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP])
def test_a_file_that_cannot_be_looked_for_is_named(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may enter each folder."""

    settings = load(None, {"kafka.properties": {"ssl.ca.location": "/ca.pem"}})

    def refuse(path: Path, **_: object) -> None:
        raise OSError(error, os.strerror(error), str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    reason = os.strerror(error)
    for file, shown in ((None, "sternpost.toml"), (Path("given.toml"), "given.toml")):
        with pytest.raises(ConfigurationError, match=f"{shown} cannot be looked for .{reason}.; check --config"):
            load(file)
    with pytest.raises(ConfigurationError, match=r"schema_registry\.ca_file is /ca\.pem, (in|which cannot)"):
        raise misconfigured(SchemaRegistrySettings(ca_file=Path("/ca.pem")), OSError())
    with pytest.raises(ConfigurationError, match=r"kafka\.properties: ssl\.ca\.location is /ca\.pem, "):
        _check_files(settings, settings.kafka.properties)


def test_a_name_that_is_no_files_name_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot be looked for"):
        load(Path("a\0b"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ingest": "x", "ingest.port": 80}, "ingest"),
        ({"ingest.port": 80, "ingest": "x"}, "ingest"),
        ({"sources": [], "sources.name": "x"}, "sources"),
        ({"sources.name": "x", "sources": []}, "sources"),
        ({"kafka": {"properties": "x"}, "kafka.properties": {"debug": "all"}}, "kafka.properties"),
        ({"kafka": {"properties": "x"}, "kafka.properties.debug": "all"}, "kafka.properties"),
        ({"kafka.properties.debug": "all", "kafka.properties": "x"}, "kafka.properties"),
    ],
)
def test_options_that_set_a_whole_and_a_part_of_it_are_refused(options: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"options set both {named} and a part of it"):
        load(None, options)


def test_properties_for_librdkafka_become_its_text() -> None:
    properties = {"enable.ssl.certificate.verification": False, "retries": 3, "ssl.ca.location": "/ca"}
    assert load(None, {"kafka.properties": properties}).kafka.properties == {
        "enable.ssl.certificate.verification": "false",
        "retries": "3",
        "ssl.ca.location": "/ca",
    }


def test_properties_of_file_environment_and_options_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sternpost.toml").write_text(
        '[kafka.properties]\nsecurity.protocol = "SASL_SSL"\n"sasl.username" = "me"\n"linger.ms" = 5\n'
        '[schema_registry.properties]\n"max.retries" = 2\n'
    )
    monkeypatch.setenv("STERNPOST_KAFKA__PROPERTIES", '{"sasl.password": "hush", "queue.buffering.max.ms": 6}')
    monkeypatch.setenv("STERNPOST_SCHEMA_REGISTRY__PROPERTIES", '{"ssl.ca.location": false}')
    settings = load(None, {"kafka.properties.debug": "broker"})
    assert settings.kafka.properties == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "me",
        "sasl.password": "hush",
        "queue.buffering.max.ms": "6",
        "debug": "broker",
    }
    assert settings.schema_registry.properties == {"max.retries": 2, "ssl.ca.location": False}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCHEMA_REGISTRY__URL", "user:hush@registry:8081"),
        ("SCHEMA_REGISTRY__URL", "https://one:8081,user:hush@two"),
        ("SCHEMA_REGISTRY__URL", "https://user:hush@re gistry"),
        ("SCHEMA_REGISTRY__URL", "ftp://user:hush@registry"),
        ("SCHEMA_REGISTRY__URL", "https://hush@registry"),
        ("SCHEMA_REGISTRY__BASIC_AUTH", "hush"),
        ("SCHEMA_REGISTRY__PROPERTIES", '{"bearer.auth.token": ["hush"]}'),
        ("SCHEMA_REGISTRY__PROPERTIES", '{"bearer.auth.token": "hush"'),
        ("KAFKA__BOOTSTRAP_SERVERS", "user:hush@broker:9092"),
        ("KAFKA__PROPERTIES", '{"sasl.password": ["hush"]}'),
        ("KAFKA__PROPERTIES", '{"sasl.password": "hush"'),
        ("KAFKA__PROPERTIES", '{"sasl.pasword": "hush"}'),
    ],
)
def test_no_error_about_clients_shows_a_secret(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"STERNPOST_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert "hush" not in str(caught.value)
    setting = name.lower().replace("__", ".")
    assert setting in str(caught.value) or f"STERNPOST_{name}" in str(caught.value)


def test_secrets_in_properties_and_addresses_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {
        "bearer.auth.token": "hush",
        "bearer.auth.client.secret": "hush",
        "proxy": "http://me:hush@proxy:1",
        "ssl.key.password": "hush",
        "retries.wait.ms": 3,
    }
    shown = {origin.name: origin.value for origin in origins(None, {"schema_registry.properties": properties})}
    assert "hush" not in repr(shown)
    assert shown["schema_registry.properties"]["retries.wait.ms"] == 3


def test_credentials_of_the_registry_reach_its_client_once() -> None:
    registry = {"schema_registry.url": " https://a:b@one/ , https://two ", "schema_registry.basic_auth": "user:pass"}
    config = load(None, registry).schema_registry.client_properties()
    assert config["url"] == "https://one,https://two"
    assert config["basic.auth.user.info"] == "user:pass"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ca_file": "/none.pem"}, ["schema_registry.ca_file is /none.pem", "does not exist"]),
        ({"ca_file": "/"}, ["schema_registry.ca_file is /", "folder"]),
        ({"ca_file": __file__}, ["schema_registry.ca_file", "cannot be used as a PEM file"]),
        ({"properties": {"max.retry": 1}}, ["no property max.retry", "did you mean max.retries?"]),
        ({"properties": {"max.retries": "x"}}, ["check max.retries in schema_registry.properties"]),
    ],
)
def test_what_the_registrys_client_does_not_take(settings: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry(load(None, {f"schema_registry.{name}": value for name, value in settings.items()}).schema_registry)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("HTTP_PROXY", "foo://proxy"), ("SSL_CERT_FILE", "/none.pem")])
def test_what_the_registrys_client_does_not_take_from_the_environment(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stronger in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(stronger, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name}.* in the environment"):
        Registry(load().schema_registry)
