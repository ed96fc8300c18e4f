"""How serious the result of a check is."""

from enum import StrEnum


class Severity(StrEnum):
    """How serious the result of a check is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but may not for long, or not safely; or it is unknown whether it is right."""
    FAULT = "fault"
    SKIPPED = "skipped"
    """It could not be checked; the detail says why."""
