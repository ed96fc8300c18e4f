"""Partitions that the group has given to nobody.

Cooperative rebalancing moves a partition in two steps: its old member gives it up and then has the group rebalance once
more. A static member that ends in between and comes back gets its old share again with no rebalance (KIP-345), does not
know that it owed one, and the partition stays nobody's until something else happens to the group. So each member looks
for such partitions some time after it was given its share.
"""

import time
from concurrent.futures import Future

import structlog

from processor.daemon_future import run_in_daemon_thread
from runtime.errors import SternpostError
from runtime.kafka.admin import ConsumerGroupState, KafkaAdmin
from runtime.settings.model import Settings

log = structlog.get_logger()

CHECK_DELAY_S = 5.0
"""Longer than the second step takes: members hear of a rebalance within a heartbeat, which is 3 s."""


class UnassignedPartitions:
    """Looks without holding anybody up. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._due: float | None = None
        self._check: Future[list[int] | None] | None = None

    def schedule_check(self) -> None:
        """The group has just rebalanced, or this member come back to it."""
        self._due = time.monotonic() + CHECK_DELAY_S
        self._check = None

    def take_result(self) -> list[int]:
        """The partitions that are nobody's, once, when that is known; else none."""
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            self._check = run_in_daemon_thread("unassigned", self._find)
        if self._check is None or not self._check.done():
            return []
        found, self._check = self._check.result(), None
        if found is None:
            self.schedule_check()
        return found or []

    def _find(self) -> list[int] | None:
        group, topic = self._settings.processor.group_id, self._settings.topics.raw
        admin = KafkaAdmin(self._settings)
        try:
            partitions, group_members = admin.describe_topic(topic).partitions, admin.describe_group(group)
        except SternpostError as error:
            log.warning("cannot see whether every partition has a member", reason=str(error))
            return None
        if group_members.state is not ConsumerGroupState.STABLE:  # a rebalance is under way, and a look will follow it
            return []
        taken = {
            tp.partition
            for member in group_members.members
            if member.assignment is not None
            for tp in member.assignment.topic_partitions
            if tp.topic == topic
        }
        return sorted({partition.id for partition in partitions} - taken)
