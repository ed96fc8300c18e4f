"""What readers must see, judged record by record in the memory of one number for each person."""

from collections.abc import Sequence

from tests.soak.events import BROKEN_EVERY, PEOPLE, broken, next_whole

KEPT_FAULTS = 100


class Faults(list[str]):
    """The first faults in words, and how many there were."""

    total = 0

    def add(self, fault: str) -> None:
        """Count a fault, and keep it if it is one of the first."""
        self.total += 1
        if len(self) < KEPT_FAULTS:
            self.append(fault)


class Events:
    """The events' topic: each person's whole events one after the other, none twice, none missing, in one partition."""

    def __init__(self, *, from_the_first: bool) -> None:
        """Without `from_the_first`, a person's events may begin with any number: retention took those before it.

        It never takes all: everybody has events in every minute.
        """
        self.faults = Faults()
        self.count = 0
        self._next: list[int | None] = [next_whole(person, 0) if from_the_first else None for person in range(PEOPLE)]
        self._partition: list[int | None] = [None] * PEOPLE

    def see(self, person: int, number: int, partition: int, *, whole: bool) -> None:
        """Note an event. `whole` says whether it is what was sent."""
        self.count += 1
        expected, known = self._next[person], self._partition[person]
        if expected is not None and number != expected:
            what = "again or late" if number < expected else "although others are missing before it"
            self.faults.add(f"event {person}-{number} came {what}: {expected} was next")
        if known is not None and partition != known:
            self.faults.add(f"event {person}-{number} is in partition {partition}, those before it in {known}")
        if not whole:
            self.faults.add(f"event {person}-{number} is not what was sent")
        self._next[person] = next_whole(person, max(number + 1, expected or 0))
        self._partition[person] = partition

    def missing(self, sent: Sequence[int]) -> list[str]:
        """Return what has not been seen, if of each person so many events were acknowledged."""
        return [
            f"events {person}-{'?' if following is None else following} to {person}-{count - 1}"
            for person, (following, count) in enumerate(zip(self._next, sent, strict=True))
            if (0 if following is None else following) < count
        ]


class DeadLetters:
    """The topic of dead letters: each broken body once, in any order, since it names nobody."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._seen: set[tuple[int, int]] = set()

    @property
    def count(self) -> int:
        """How many there were, each counted once."""
        return len(self._seen)

    def see(self, person: int, number: int, *, whole: bool) -> None:
        """Note a dead letter. `whole` says whether it is what was sent."""
        if (person, number) in self._seen:
            self.faults.add(f"dead letter {person}-{number} came again")
        if not broken(person, number):
            self.faults.add(f"dead letter {person}-{number} was a whole event")
        if not whole:
            self.faults.add(f"dead letter {person}-{number} is not what was sent")
        self._seen.add((person, number))

    def missing(self, sent: Sequence[int]) -> list[str]:
        """Return what has not been seen, if of each person so many events were acknowledged."""
        return [
            f"dead letter {person}-{number}"
            for person, count in enumerate(sent)
            for number in range(-31 * person % BROKEN_EVERY, count, BROKEN_EVERY)
            if (person, number) not in self._seen
        ]
