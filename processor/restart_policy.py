"""After which failures of a member, and how soon, its stream processor is started again; others end its worker."""

import time

from runtime.errors import (
    ClientUnusableError,
    ConfigurationError,
    InstanceFencedError,
    InstanceInUseError,
)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
"""The pause after a failure; doubled after each failure in a row."""

STABLE_AFTER_S = 60.0
"""A stream processor that ran this long resets the pause."""

RELEASE_S = 300.0
"""How long a member may be refused its place without a break before another process counts as having it: several
sessions, of at most `group.consumer.max.session.timeout.ms`, 60 s by default
(https://kafka.apache.org/documentation/#brokerconfigs_group.consumer.max.session.timeout.ms). One is not enough. A
process that died has a whole new session each time the group's coordinator moves
(https://github.com/apache/kafka/blob/trunk/group-coordinator/src/main/java/org/apache/kafka/coordinator/group/GroupMetadataManager.java,
onLoaded). A member whose request to join was taken, and the answer lost, is refused because of itself for one more
(the same file, throwIfInstanceIdIsUnreleased). Waiting does no harm: the process that has the place goes on."""

IN_A_ROW_S = 30.0
"""Two refusals with a longer time from the one to the next start have had a membership between them: the next start
follows within LONGEST_PAUSE_S and what closing takes."""

MOST_FENCINGS, FENCED_WITHIN_S = 2, 300.0
"""How often a member may lose its place to one of its name and take it back while brokers can be reached. Brokers give
a static member's place to each process that asks for it (KIP-345), so if a connection fails and the answer to a request
is lost with it, the member that repeats it has lost its place to itself. Two processes with one name take it from each
other until one of them ends."""

Restartable = ClientUnusableError | InstanceInUseError | InstanceFencedError


class RestartPolicy:
    """The failures of one member."""

    def __init__(self, group_id: str, member: str) -> None:
        """`member` is its `group.instance.id`."""
        self._member = member
        self._not_alone = (
            f"another process is member {member} of the group {group_id}: give each machine a processor.instance_id of "
            "its own"
        )
        self._pause_s = FIRST_PAUSE_S
        self._in_use_since = self._refused_at = float("-inf")
        """When the first and the last of the refusals in a row came, since the place was in use."""
        self._fenced: list[float] = []

    def cause(self, error: Restartable, begun: float, unreachable: str = "") -> str:
        """Return why a stream processor that began at `begun` (`time.monotonic()`) must be started again.

        `unreachable` is why brokers could not be reached lately, or empty.

        Raises ConfigurationError if another process has the member's place.
        """
        now = time.monotonic()
        if now - begun > STABLE_AFTER_S:
            self._pause_s = FIRST_PAUSE_S
        if isinstance(error, InstanceInUseError):
            if begun - self._refused_at > IN_A_ROW_S:
                self._in_use_since = begun
            self._refused_at = now
            if now - self._in_use_since > RELEASE_S:
                raise ConfigurationError(self._not_alone) from None
            return (
                f"the brokers still count an earlier process as member {self._member}, until its session times out; or "
                f"{self._not_alone}"
            )
        if isinstance(error, InstanceFencedError):
            # The brokers may have given the place to this very member, in an answer to its request that was lost.
            if not unreachable:
                self._fenced = [*(at for at in self._fenced if now - at < FENCED_WITHIN_S), now]
            if len(self._fenced) > MOST_FENCINGS:
                raise ConfigurationError(self._not_alone) from None
            return f"the brokers gave the place of member {self._member} to another, which may be an earlier self"
        return str(error)

    def next_pause_s(self) -> float:
        """Return how long to wait before the next start, in seconds."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s
