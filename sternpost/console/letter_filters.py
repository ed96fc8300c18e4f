"""What the page Dead letters is asked to show, as a selection and as options of the command."""

from dataclasses import dataclass, replace

from runtime.errors import CheckFailedError
from sternpost.operations.dead_letters.index import GroupKey
from sternpost.operations.dead_letters.selection import Selection
from sternpost.operations.printable import printable
from sternpost.operations.requested_range import parse_time


@dataclass
class Filters:
    """What the page is asked to show; times as people write them."""

    since: str = "24h"
    until: str = ""
    group: GroupKey | None = None
    redriven: bool = False

    def selection(self) -> Selection:
        """Return the selection that they mean now. Raises CheckFailedError for a time that is none."""
        try:
            since_ms, until_ms = (parse_time(text) if text else None for text in (self.since, self.until))
        except ValueError as error:
            raise CheckFailedError(str(error)) from None
        found = Selection(since_ms=since_ms, until_ms=until_ms, redriven=self.redriven)
        if self.group is None:
            return found
        code, source, where = self.group
        return replace(found, codes=frozenset({code}), sources=frozenset({source}), fields=frozenset({where or ""}))

    def options(self) -> list[str]:
        """Return them as options of `sternpost dead-letters`."""
        found = []
        if self.group is not None:
            code, source, where = self.group
            found += ["--code", code, "--source", source, "--field", where or ""]
        for name, text in (("--since", self.since), ("--until", self.until)):
            found += [name, text] if text else []
        return found


def describe_group(group: GroupKey) -> str:
    """Return a kind of dead letters in words."""
    where = f" in {group.field}" if group.field else ""
    return printable(f"{group.code}{where} from {group.source}")
