"""Makes every Kafka client, so that each reports why brokers cannot be reached and logs through our log."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, libversion, version
from confluent_kafka.admin import AdminClient

from runtime.disk import unreadable
from runtime.errors import ConfigurationError
from runtime.kafka.config import Properties, client_config, consumer_config, producer_config
from runtime.kafka.errors import BrokerFailures, failures_of
from runtime.kafka.msk_iam import token_callback
from runtime.kafka.properties import TRUE, canonical
from runtime.masking import MASK, is_secret
from runtime.settings.model import Settings

log = logging.getLogger("kafka")

REPEAT_S = 60.0
"""A line of librdkafka that repeats is logged once in this time."""

MOST_LINES = 1_000
"""How many different lines are remembered."""

OnError = Callable[[KafkaError], None]
Client = TypeVar("Client", AdminClient, Consumer, Producer)


def make_admin(settings: Settings) -> AdminClient:
    """Make an admin client, for `runtime.kafka.admin.KafkaAdmin`. Raises ConfigurationError."""
    return _make(AdminClient, settings, client_config(settings, "admin"))


def make_consumer(settings: Settings, fixed: Properties, defaults: Properties | None = None) -> Consumer:
    """Make a consumer that reads committed records only. Raises ConfigurationError.

    `kafka.properties` may override `defaults`, but not `fixed`.
    """
    return _make(Consumer, settings, consumer_config(settings, fixed, defaults))


def make_producer(
    settings: Settings,
    fixed: Properties,
    defaults: Properties | None = None,
    on_error: OnError | None = None,
) -> Producer:
    """Make a producer that does not lose, duplicate or reorder records. Raises ConfigurationError.

    `kafka.properties` may override `defaults`, but not `fixed`. `on_error` is called, while the client is polled, with
    each error of the client that librdkafka reports.
    """
    return _make(Producer, settings, producer_config(settings, fixed, defaults), on_error)


def client_version() -> tuple[str, tuple[int, int]]:
    """Return the client libraries' versions as text, and librdkafka's major and minor number."""
    text, number = libversion()
    return f"confluent-kafka {version()}, librdkafka {text}", (number >> 24, (number >> 16) & 0xFF)


def _make(kind: type[Client], settings: Settings, config: dict[str, Any], on_error: OnError | None = None) -> Client:
    failures = failures_of(settings.kafka.bootstrap_servers)

    def told(error: KafkaError) -> None:
        failures.add(error.str())
        if on_error is not None:
            on_error(error)

    _check_files(settings, config)
    ours: dict[str, Any] = {"logger": _ClientLog(failures), "error_cb": told}
    if (region := settings.kafka.msk_iam_region) is not None:
        ours["oauth_cb"] = token_callback(region)
    else:
        _check_token_source(settings, config)
    try:
        return kind({**config, **ours})
    except KafkaException as error:
        text = error.args[0].str()
        if text.startswith("OAuth token not set"):
            raise ConfigurationError(
                f"kafka.msk_iam_region: {text}", "check the AWS credentials, and that this machine's clock is right"
            ) from None
        raise _misconfigured(settings, config, text) from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _misconfigured(settings, config, f"{type(error).__name__}: {error}") from None


class _ClientLog:
    """Passes librdkafka's log lines to the logger `kafka`: debug lines as they are, others at most once a minute."""

    def __init__(self, failures: BrokerFailures) -> None:
        self._failures = failures

    def log(self, level: int, _format: str, facility: str, client: str, line: str) -> None:
        """Take a line; confluent_kafka calls this while the client is polled."""
        text = re.sub(r"^\[thrd:[^\]]*\]: ", "", line)
        if facility == "FAIL":
            self._failures.add(text)
            level = logging.WARNING  # it may pass, and whoever it stops says so
        if level > logging.DEBUG and not _is_news(re.sub(r"\d+", "", facility + text)):
            return
        log.log(level, "%s %s: %s", facility, client, text.strip())


_said_at: dict[str, float] = {}


def _is_news(text: str) -> bool:
    now = time.monotonic()
    if _said_at.get(text, -REPEAT_S) > now - REPEAT_S:
        return False
    if len(_said_at) >= MOST_LINES:
        _said_at.clear()
    _said_at[text] = now
    return True


def setting_of(settings: Settings, name: str) -> str:
    """Return the setting that a property came from: its section's own, or `kafka.properties`."""
    value = settings.kafka.properties.get(name)
    for section in ("ingest", "processor"):
        if value is not None and getattr(settings, section).kafka_properties.get(name) == value:
            return f"{section}.kafka_properties"
    return "kafka.properties"


def _check_files(settings: Settings, config: Mapping[str, Any]) -> None:
    """Check that files exist and can be read: librdkafka reports a missing one as an OpenSSL library number.

    Raises ConfigurationError.
    """
    for name in settings.kafka.properties.keys() & config.keys():
        value = str(config[name])
        if not name.endswith((".location", ".file", ".keytab")) or value in ("", "probe"):
            continue
        if fault := unreadable(Path(value), may_be_folder=name.endswith("ca.location")):
            raise ConfigurationError(f"{setting_of(settings, name)}: {name} is {value}, {fault}")


def _check_token_source(settings: Settings, config: Mapping[str, Any]) -> None:
    """Raise ConfigurationError if nothing would ever give OAUTHBEARER a token: librdkafka would wait in silence."""
    by_canonical = {canonical(name): (name, str(value)) for name, value in config.items()}
    name, mechanism = by_canonical.get("sasl.mechanisms", ("", ""))
    _, method = by_canonical.get("sasl.oauthbearer.method", ("", "default"))
    _, unsecured = by_canonical.get("enable.sasl.oauthbearer.unsecure.jwt", ("", "false"))
    if mechanism == "OAUTHBEARER" and method.lower() != "oidc" and unsecured.lower() not in TRUE:
        setting = setting_of(settings, name)
        raise ConfigurationError(
            f"{setting}: {name} is OAUTHBEARER, and nothing gives it tokens; set sasl.oauthbearer.method to oidc, with "
            f"sasl.oauthbearer.token.endpoint.url, in {setting}, or kafka.msk_iam_region for Amazon MSK"
        )


def _misconfigured(settings: Settings, config: Mapping[str, Any], text: str) -> ConfigurationError:
    """Return the error for a configuration that librdkafka refuses: its text, and the values that it is about."""
    for name, value in config.items():
        if is_secret(name) and value:
            text = text.replace(str(value), MASK)
    text = re.sub(r"^Failed to create [\w ]+: ", "", text).strip()
    by_canonical = {canonical(name): name for name in config}
    named = [quoted or dotted for quoted, dotted in re.findall(r"`([a-z0-9.]+)`|([a-z]+(?:\.[a-z0-9]+)+)", text)]
    about = list(dict.fromkeys(by_canonical[canonical(name)] for name in named if canonical(name) in by_canonical))
    # A file pasted into the wrong property may hold a private key.
    hidden = {name for name in about if is_secret(name) or name.endswith(".pem")}
    values = ", ".join(f"{name} is {MASK if name in hidden else config[name]}" for name in about)
    theirs = [name for name in about if name in settings.kafka.properties]
    where = " and ".join(dict.fromkeys(setting_of(settings, name) for name in theirs)) or "kafka.properties"
    change = f"change {' or '.join(theirs)}" if theirs else "check what is set"
    return ConfigurationError(f"{where}: {text}{f' ({values})' if values else ''}; {change} in {where}")
