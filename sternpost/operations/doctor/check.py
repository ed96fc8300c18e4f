"""What an examination found."""

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and may not for long, or not safely."""
    FAULT = "fault"
    SKIPPED = "skipped"
    """It could not be examined; the detail says why."""


class Check(NamedTuple):
    name: str
    verdict: Severity
    detail: str
    mend: str = ""
    """What to do, where there is something to do."""


def ok(name: str, detail: str) -> Check:
    return Check(name, Severity.OK, detail)


def fault(name: str, detail: str, mend: str) -> Check:
    return Check(name, Severity.FAULT, detail, mend)


def warning(name: str, detail: str, mend: str) -> Check:
    return Check(name, Severity.WARNING, detail, mend)


def skipped(name: str, detail: str, mend: str = "") -> Check:
    return Check(name, Severity.SKIPPED, detail, mend)
