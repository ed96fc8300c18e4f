"""The result of one check."""

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How serious a result is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but may not for long, or not safely."""
    FAULT = "fault"
    SKIPPED = "skipped"
    """It could not be checked; the detail says why."""


class Check(NamedTuple):
    """One result."""

    name: str
    verdict: Severity
    detail: str
    mend: str = ""
    """How to fix it; empty if there is nothing to do."""


def ok(name: str, detail: str) -> Check:
    """Return a result that needs nothing."""
    return Check(name, Severity.OK, detail)


def fault(name: str, detail: str, mend: str) -> Check:
    """Return a fault."""
    return Check(name, Severity.FAULT, detail, mend)


def warning(name: str, detail: str, mend: str) -> Check:
    """Return a warning."""
    return Check(name, Severity.WARNING, detail, mend)


def skipped(name: str, detail: str, mend: str = "") -> Check:
    """Return that the check was not possible."""
    return Check(name, Severity.SKIPPED, detail, mend)
