"""librdkafka's properties: which there are, and which values they take."""

import pytest

from runtime.errors import ConfigurationError
from runtime.kafka import properties
from runtime.kafka.config import client_config, consumer_config, for_service, producer_config
from runtime.settings.loader import load
from tests.support.librdkafka_properties import TABLE, render


def test_the_table_is_what_the_installed_librdkafka_says() -> None:
    assert TABLE.read_text("utf-8") == render()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sasl.pasword", "x", ["sasl.pasword", "did you mean sasl.password?"]),
        ("linger.ms", "-4", ["linger.ms", "0", "900000"]),
        ("linger.ms", "soon", ["linger.ms", "number"]),
        ("security.protocol", "SASL", ["security.protocol", "sasl_ssl"]),
        ("sasl.mechanism", "SCRAM", ["sasl.mechanism", "SCRAM-SHA-512"]),
        ("enable.ssl.certificate.verification", "maybe", ["true or false"]),
        ("debug", "brokers", ["debug", "Did you mean broker?"]),
        ("ssl.truststore.location", "/x", ["ssl.ca.location"]),
        ("error_cb", "x", ["error_cb", "take it out"]),
        ("isolation.level", "read_uncommitted", ["isolation.level", "cannot be changed"]),
        ("transactional.id", "x", ["transactional.id", "processor.group_id"]),
        ("client.id", None, ["client.id", "must be text"]),
        ("client.id", ["a"], ["client.id", "must be text"]),
        ("client.id", {"a": 1}, ["client.id.a", "not a property"]),
        ("client.id", "\ud800", ["client.id", "character"]),
    ],
)
def test_a_property_that_no_client_takes_is_named(name: str, value: object, words: list[str]) -> None:
    for setting in ("kafka.properties", "ingest.kafka_properties", "processor.kafka_properties"):
        with pytest.raises(ConfigurationError) as caught:
            load(None, {setting: {name: value}})
        assert setting in str(caught.value)
        for word in words:
            assert word in str(caught.value)


@pytest.mark.parametrize("setting", ["kafka.properties", "ingest.kafka_properties", "processor.kafka_properties"])
@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("session.timeout.ms", 10_000, "consumer.session.timeout.ms"),
        ("heartbeat.interval.ms", 500, "consumer.heartbeat.interval.ms"),
        ("partition.assignment.strategy", "cooperative-sticky", "group.remote.assignor"),
        ("group.protocol.type", "consumer", "take it out"),
    ],
)
def test_what_the_group_protocol_consumer_leaves_to_brokers_is_refused(
    setting: str, name: str, value: object, remedy: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, {setting: {name: value}, "processor.group_protocol": "consumer"})
    for word in (setting, name, "processor.group_protocol consumer", remedy):
        assert word in str(caught.value)


def test_the_group_protocol_is_a_setting_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match=r"group\.protocol cannot be changed.*processor\.group_protocol"):
        load(None, {"kafka.properties": {"group.protocol": "consumer"}})
    with pytest.raises(ConfigurationError, match=r"processor\.session_timeout_ms has no effect"):
        load(None, {"processor.group_protocol": "consumer", "processor.session_timeout_ms": 60_000})
    with pytest.raises(ConfigurationError, match=r"processor\.group_protocol.*'classic' or 'consumer'"):
        load(None, {"processor.group_protocol": "next"})
    assert load(None, {"processor.group_protocol": "consumer"}).processor.group_protocol == "consumer"


def test_a_property_reaches_the_clients_that_it_is_for() -> None:
    theirs = {"linger.ms": 7, "fetch.wait.max.ms": 9, "socket.timeout.ms": 11_000}
    settings = load(None, {"kafka.properties": theirs})
    defaults = {"queue.buffering.max.ms": 1, "fetch.wait.max.ms": 1}
    producer, consumer = producer_config(settings, {}, defaults), consumer_config(settings, {}, defaults)
    admin = client_config(settings, "admin")
    assert (producer["linger.ms"], "queue.buffering.max.ms" in producer) == ("7", False)
    assert consumer["fetch.wait.max.ms"] == "9"
    assert "linger.ms" not in consumer
    assert not {"linger.ms", "fetch.wait.max.ms"} & admin.keys()
    assert {config["socket.timeout.ms"] for config in (producer, consumer, admin)} == {"11000"}


def test_a_consumer_gives_a_silent_connection_up_as_soon_as_javas_does() -> None:
    assert consumer_config(load())["socket.timeout.ms"] == 30_000


def test_properties_of_a_service_are_its_own() -> None:
    settings = load(
        None, {"kafka.properties": {"linger.ms": 1}, "processor.kafka_properties": {"queue.buffering.max.ms": 2}}
    )
    assert for_service(settings, "processor").kafka.properties == {"queue.buffering.max.ms": "2"}
    assert for_service(settings, "ingest").kafka.properties == {"linger.ms": "1"}


def test_aliases_are_one_property() -> None:
    assert properties.canonical("linger.ms") == "queue.buffering.max.ms"
    with pytest.raises(ConfigurationError, match=r"linger\.ms is another name of queue\.buffering\.max\.ms"):
        load(None, {"kafka.properties": {"queue.buffering.max.ms": 1, "linger.ms": 2}})
