"""What librdkafka does not take when a client is made."""

import pytest

from runtime.errors import ConfigurationError
from runtime.kafka.clients import make_admin, make_producer
from runtime.kafka.config import for_service
from runtime.settings.loader import load

SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"}


def test_a_property_without_a_dot_names_the_setting_that_it_is_from() -> None:
    settings = for_service(load(None, {"ingest.kafka_properties": {"retries": "0"}}), "ingest")
    with pytest.raises(ConfigurationError, match=r"^ingest\.kafka_properties: .*change retries in ingest\.kafka_prop"):
        make_producer(settings, {})


@pytest.mark.parametrize("name", ["ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem"])
def test_a_key_pasted_into_the_wrong_property_is_not_quoted(name: str) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n"
    settings = load(None, {"kafka.properties": {"security.protocol": "SSL", name: pem}})
    with pytest.raises(ConfigurationError) as caught:
        make_admin(settings)
    assert name in str(caught.value)
    assert "hush" not in str(caught.value)


def test_oauthbearer_needs_something_that_gives_tokens() -> None:
    with pytest.raises(ConfigurationError, match=r"kafka\.properties: sasl\.mechanism .*sasl\.oauthbearer\.method"):
        make_admin(load(None, {"kafka.properties": SASL}))
    make_admin(load(None, {"kafka.properties": {**SASL, "enable.sasl.oauthbearer.unsecure.jwt": "true"}}))
