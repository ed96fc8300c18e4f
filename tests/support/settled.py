"""Waiting until readers see what was committed."""

from functools import partial

from runtime.kafka.admin import FROM_END, KafkaAdmin
from runtime.settings.model import Settings
from tests.support.waiting import until

VISIBLE_S = 30.0
"""Shorter than a command's transaction may be open (`TIMEOUT_MS` of runtime/kafka/command_transactions.py): one that
was left open must not go unnoticed because brokers end it meanwhile."""


def settle(settings: Settings, *topics: str) -> None:
    """Return once no transaction is open in the topics, by default the pipeline's three.

    Brokers answer a commit before they have marked it in each partition, and readers wait for the marks (KIP-98:
    https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging).
    """
    names, admin = settings.topics, KafkaAdmin(settings)
    for topic in topics or (names.raw, names.events, names.dead_letters):
        ends = dict.fromkeys(admin.metadata(topic).topics[topic].partitions, FROM_END)
        until(partial(_is_settled, admin, topic, ends), VISIBLE_S)


def _is_settled(admin: KafkaAdmin, topic: str, ends: dict[int, int]) -> bool:
    """Return whether the last stable offsets are the ends."""
    return admin.offsets(topic, ends) == admin.offsets(topic, ends, stable=False)
