"""Configurations as clusters describe them: some describe all of it, some a part, and some nothing.

Redpanda does not list `min.insync.replicas` and others that it does not use
(https://github.com/redpanda-data/redpanda/issues/978, https://github.com/sauljabin/kaskade/issues/35), and managed
services hide what they manage. So a value that is not described is unknown, and not an error.
"""

from collections.abc import Mapping

from runtime.errors import KafkaRequestError

Configs = Mapping[str, str]
"""The values that are described, by name."""


def int_or_none(configs: Configs, key: str) -> int | None:
    """Return a value as an integer; None if it is not described, or is not an integer."""
    try:
        return int(configs[key])
    except (KeyError, ValueError):
        return None


def does_not_tell(reason: KafkaRequestError) -> bool:
    """Return whether the cluster has no answer to the question, rather than none for this user or none just now."""
    return reason.name in ("UNSUPPORTED_VERSION", "_UNSUPPORTED_FEATURE", "INVALID_REQUEST", "POLICY_VIOLATION")


def is_denied(reason: KafkaRequestError) -> bool:
    """Return whether this user lacks the right to ask."""
    return reason.name.endswith("AUTHORIZATION_FAILED")
