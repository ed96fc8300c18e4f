"""What all pages of a running console share."""

from dataclasses import dataclass, field

from runtime.settings.model import Settings
from sternpost.console.background import Job
from sternpost.console.live_events import LiveEvents
from sternpost.console.monitor import Monitor
from sternpost.operations.changes_allowed import ChangesAllowed


@dataclass(frozen=True)
class Console:
    """The console while it runs."""

    settings: Settings
    allowed: ChangesAllowed | None
    """What operations that write ask for; None if the console is read-only."""
    monitor: Monitor
    events: LiveEvents
    jobs: "dict[str, Job[object]]" = field(default_factory=dict)
    """Work that goes on when its page is closed, by a name of its own: a redrive, a replay."""
