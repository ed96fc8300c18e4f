"""What people are told for what a broker or librdkafka says."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.errors import DependencyError, KafkaRequestError
from runtime.kafka.errors import BrokerFailures, failures_of, unreachable
from runtime.settings.model import Settings


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "does not let this user do that"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "`sternpost acls`"),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, "does not answer in time"),
        (KafkaError._TIMED_OUT, "`sternpost doctor`"),
        (KafkaError._ALL_BROKERS_DOWN, "check kafka.bootstrap_servers"),
        (KafkaError.INVALID_CONFIG, "refused the request"),
        (KafkaError.POLICY_VIOLATION, "refused the request"),
    ],
)
def test_each_kind_of_error_says_what_to_do_and_keeps_the_brokers_own_words(code: int, words: str) -> None:
    failures_of.cache_clear()
    error = unreachable(Settings(), KafkaException(KafkaError(code, "in its own words")))
    assert isinstance(error, KafkaRequestError)
    assert isinstance(error, DependencyError), "a command ends with 69"
    assert words in str(error)
    assert error.name == KafkaError(code).name()
    assert error.detail == "in its own words"
    assert "in its own words" in str(error)


def test_a_broker_that_answered_is_not_said_to_be_away() -> None:
    """A refusal sends nobody to look at the network."""
    error = unreachable(Settings(), KafkaException(KafkaError(KafkaError.INVALID_PARTITIONS)))
    assert "bootstrap_servers" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be "
        "verified, verify that ssl.ca.location is correctly configured or root CA certificates are installed",
        "error:0A000086:SSL routines::certificate verify failed",
    ],
)
def test_a_refused_certificate_has_one_advice_in_both_of_librdkafkas_words(text: str) -> None:
    """Which of them it uses differs from one attempt to the next."""
    assert "set ssl.ca.location in kafka.properties" in reason_of(f"{text} (after 12ms in state SSL_HANDSHAKE)")


@pytest.mark.parametrize(
    "text",
    [
        "SSL alert 116: certificate required (after 3ms in state APIVERSION_QUERY)",
        "Disconnected while requesting ApiVersion (after 3ms in state APIVERSION_QUERY)",
        "Disconnected (after 3ms in state UP)",
    ],
)
def test_a_broker_that_refuses_our_certificate_may_say_so_or_hang_up(text: str) -> None:
    assert "check ssl.certificate.location and ssl.key.location in kafka.properties" in reason_of(text)


def reason_of(text: str) -> str:
    """Return what is said of a connection with TLS that failed with this text."""
    failures = BrokerFailures("kafka:9093")
    failures.add(f"ssl://kafka:9093/bootstrap: {text}")
    return str(failures.reason())
