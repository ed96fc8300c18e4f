"""The configuration of Kafka's clients, and the sizes that must fit."""

import pytest

from runtime.errors import ConfigurationError, DependencyError
from runtime.kafka.admin import check_topics
from runtime.kafka.config import consumer_config, producer_config, record_limits, topic_configs
from runtime.settings.loader import load


def test_a_body_that_fits_ingest_fits_every_topic_and_producer() -> None:
    settings = load(None, {"ingest.max_body_bytes": 5_000_000})
    limits = record_limits(settings)
    assert min(limits) > 5_000_000
    assert limits.dead_letters > limits.raw
    configs = topic_configs(settings)
    assert int(configs[settings.topics.raw]["max.message.bytes"]) == limits.raw
    assert producer_config(settings)["message.max.bytes"] >= max(limits)
    consumer = consumer_config(settings)
    assert consumer["fetch.max.bytes"] >= max(limits)
    assert consumer["receive.message.max.bytes"] > consumer["fetch.max.bytes"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("enable.idempotence", "false"), ("acks", "1"), ("request.required.acks", "1"), ("enable.auto.commit", "true")],
)
def test_what_exactly_once_stands_on_cannot_be_set_otherwise(name: str, value: str) -> None:
    for setting in ("kafka.properties", "ingest.kafka_properties", "processor.kafka_properties"):
        with pytest.raises(ConfigurationError, match=rf"{setting}.*{name} cannot be changed"):
            load(None, {setting: {name: value}})


def test_other_properties_reach_librdkafka() -> None:
    settings = load(None, {"kafka.properties": {"security.protocol": "SSL", "acks": "all", "client.id": "mine"}})
    config = producer_config(settings)
    assert (config["security.protocol"], config["acks"], config["client.id"]) == ("SSL", "all", "mine")


def test_an_unreachable_cluster_is_named_with_the_settings_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.kafka.admin.TIMEOUT_S", 0.05)
    settings = load(None, {"kafka.bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(DependencyError, match=r"no Kafka broker at 127\.0\.0\.1:1 .*kafka\.bootstrap_servers"):
        check_topics(settings, ["a"])
