"""Whether a member is in its group, as far as only its identity tells."""

import sys
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer

from processor.group_consumer import KafkaGroupConsumer


@pytest.fixture
def identity() -> bytes:
    """The identity of a member that has not asked brokers for anything yet."""
    properties = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "group.instance.id": "m"}
    found: bytes = Consumer({**properties, "group.protocol": "consumer", "log_level": 0}).consumer_group_metadata()
    return found


@pytest.mark.parametrize(("epoch", "is_in"), [(-2, False), (-1, False), (0, False), (1, True), (7, True)])
def test_a_member_is_in_the_group_once_it_has_an_epoch_above_0(identity: bytes, epoch: int, is_in: bool) -> None:
    """A member that brokers refused has epoch 0, although it was -1 before."""
    assert identity[:11] == b"CGMDv2:" + (-1).to_bytes(4, sys.byteorder, signed=True)
    now = identity[:7] + epoch.to_bytes(4, sys.byteorder, signed=True) + identity[11:]
    member = object.__new__(KafkaGroupConsumer)
    member._brokers_assign, member._outside = True, identity
    member._consumer = SimpleNamespace(consumer_group_metadata=lambda: now)  # type: ignore[assignment]
    assert member._has_joined() is is_in


def test_a_member_that_left_with_its_epoch_is_not_in_the_group_until_it_has_another(identity: bytes) -> None:
    left, later = (identity[:7] + epoch.to_bytes(4, sys.byteorder) + identity[11:] for epoch in (3, 4))
    member = object.__new__(KafkaGroupConsumer)
    member._brokers_assign, member._outside = True, left
    for now, is_in in ((left, False), (later, True)):
        member._consumer = SimpleNamespace(consumer_group_metadata=lambda now=now: now)  # type: ignore[assignment]
        assert member._has_joined() is is_in
