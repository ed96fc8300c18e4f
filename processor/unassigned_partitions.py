"""Finds partitions that no member of the group has.

A cooperative rebalance moves a partition in two steps: the old member gives it up, and then makes the group rebalance
again. A static member that ends in between and comes back gets its old assignment without a rebalance (KIP-345). It
does not know that a second rebalance is due, and the partition has no member until the group changes for another
reason. So each member looks for such partitions some time after it received its assignment.
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
"""Longer than the second step takes: members learn of a rebalance within a heartbeat interval, 3 s at most."""


class UnassignedPartitions:
    """Checks in the background. For one thread."""

    def __init__(self, settings: Settings) -> None:
        """Check the processor's group and the raw topic."""
        self._settings = settings
        self._due: float | None = None
        self._check: Future[list[int] | None] | None = None

    def schedule_check(self) -> None:
        """Schedule a check: the group has just rebalanced, or this member came back to it."""
        self._due = time.monotonic() + CHECK_DELAY_S
        self._check = None

    def take_result(self) -> list[int]:
        """Return the partitions without a member once the check has ended, and an empty list at all other times."""
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
            log.warning("cannot check whether every partition has a member", reason=str(error))
            return None
        if (
            group_members.state is not ConsumerGroupState.STABLE
        ):  # a rebalance is under way, and another check follows it
            return []
        taken = {
            tp.partition
            for member in group_members.members
            if member.assignment is not None
            for tp in member.assignment.topic_partitions
            if tp.topic == topic
        }
        return sorted({partition.id for partition in partitions} - taken)
