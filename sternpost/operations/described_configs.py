"""What a cluster tells of its configuration: some tell all of it, some a part, and some nothing.

Redpanda lists neither `min.insync.replicas` nor others that it has no use for
(https://github.com/redpanda-data/redpanda/issues/978, https://github.com/sauljabin/kaskade/issues/35), and managed
offers keep what they manage to themselves. So what is not told is no value, and never an error.
"""

from collections.abc import Mapping

from runtime.errors import KafkaRequestError

Configs = Mapping[str, str]
"""Those that are told, by name."""


def whole(configs: Configs, key: str) -> int | None:
    """A whole number; None if it is not told, or is none."""
    try:
        return int(configs[key])
    except (KeyError, ValueError):
        return None


def does_not_tell(reason: KafkaRequestError) -> bool:
    """Return whether the cluster has no answer to the question, rather than none for this user or none just now."""
    return reason.name in ("UNSUPPORTED_VERSION", "_UNSUPPORTED_FEATURE", "INVALID_REQUEST", "POLICY_VIOLATION")
