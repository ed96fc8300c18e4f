"""Finds partitions of the raw topic that nobody reads although the group is at rest.

Each group protocol has a way to lose one, in a group whose other partitions are read as if nothing were wrong.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Collection

import structlog

from runtime.errors import SternpostError
from runtime.kafka.admin import ConsumerGroupState, KafkaAdmin
from runtime.settings.model import Settings

CHECK_DELAY_S = 5.0
"""When to look for partitions without a member. Longer than the second step of a rebalance takes: members learn of it
within a heartbeat interval, 3 s at most."""

CHECK_INTERVAL_S = 60.0
"""How often to look if nothing tells of a change."""

log = structlog.get_logger()


class _BackgroundCheck(ABC):
    """Asks the brokers in a thread of its own. For one thread."""

    def __init__(self, settings: Settings) -> None:
        """Check the processor's group and the raw topic."""
        self._settings = settings
        self._due: float | None = None
        self._check: threading.Thread | None = None
        self._found: list[int] | None = None

    def schedule(self, delay_s: float = CHECK_DELAY_S) -> None:
        """Schedule a check: the group has just rebalanced, or this member came back to it."""
        self._due = time.monotonic() + delay_s
        self._check = None

    def _result(self) -> list[int] | None:
        """Return what was found once a check has ended, and None at all other times."""
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            self._found, self._check = None, threading.Thread(target=self._run, name="assignment check", daemon=True)
            self._check.start()
        if self._check is None or self._check.is_alive():
            return None
        self._check = None
        if self._found is None:
            self.schedule()
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._find()
        except SternpostError as error:
            log.warning("cannot check whether every partition has a member", reason=str(error))

    @abstractmethod
    def _find(self) -> list[int]:
        """Ask the brokers. Raises SternpostError."""

    def _assigned(self, admin: KafkaAdmin, instance_id: str | None = None) -> set[int] | None:
        """Return the partitions of all members, or of one, as brokers have it; None while they rebalance."""
        group = admin.describe_group(self._settings.processor.group_id, once=True)
        if group.state is not ConsumerGroupState.STABLE:
            return None
        return {
            tp.partition
            for member in group.members
            for tp in member.assignment.topic_partitions
            if tp.topic == self._settings.topics.raw and instance_id in (None, member.group_instance_id)
        }


class UnassignedPartitions(_BackgroundCheck):
    """In `classic`, partitions that no member of the group has.

    A cooperative rebalance moves a partition in two steps: the old member gives it up, and then makes the group
    rebalance again. A static member that ends in between and comes back gets its old assignment without a rebalance
    (KIP-345). It does not know that a second rebalance is due, and the partition has no member until the group changes
    for another reason. So each member looks for such partitions some time after it received its assignment.
    """

    def take(self) -> list[int]:
        """Return the partitions without a member once a check has ended, and an empty list at all other times."""
        return self._result() or []

    def _find(self) -> list[int]:
        admin = KafkaAdmin(self._settings)
        partitions = {partition.id for partition in admin.describe_topic(self._settings.topics.raw).partitions}
        assigned = self._assigned(admin)
        return [] if assigned is None else sorted(partitions - assigned)  # another check follows a rebalance


class UntoldPartitions(_BackgroundCheck):
    """In `consumer`, partitions that are this member's, and it does not know.

    Brokers name a new partition to its member in an answer to a heartbeat, and then take it for read. It was seen that
    the member did not hear of one, as the group's coordinator was cut off from the other brokers during a rebalance:
    the group was at rest, and nobody read that partition until the group would change for another reason.
    """

    def __init__(self, settings: Settings, instance_id: str) -> None:
        """Check the assignment of the static member `instance_id`."""
        super().__init__(settings)
        self._instance_id = instance_id
        self._suspected: set[int] = set()
        self.schedule()

    def take(self, known: Collection[int]) -> list[int]:
        """Return partitions that this member has and does not know, `known` being what it knows; mostly none.

        They are returned if two checks in a row find them: at the first, the answer may still be on its way.
        """
        found = self._result()
        if found is None:
            return []
        untold = set(found).difference(known)
        certain = sorted(untold & self._suspected)
        self._suspected = untold
        self.schedule(CHECK_DELAY_S if untold else CHECK_INTERVAL_S)
        return certain

    def _find(self) -> list[int]:
        return sorted(self._assigned(KafkaAdmin(self._settings), self._instance_id) or ())
