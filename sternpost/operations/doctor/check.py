"""The result of one check."""

from typing import NamedTuple

from sternpost.operations.severity import Severity


class Check(NamedTuple):
    """One result."""

    name: str
    severity: Severity
    detail: str
    remedy: str = ""
    """How to fix it; empty if there is nothing to do."""

    def as_json(self) -> dict[str, str]:
        """Return the result as JSON for scripts."""
        return {"name": self.name, "verdict": self.severity, "detail": self.detail, "mend": self.remedy}


def ok(name: str, detail: str) -> Check:
    """Return a result that needs nothing."""
    return Check(name, Severity.OK, detail)


def fault(name: str, detail: str, remedy: str) -> Check:
    """Return a fault."""
    return Check(name, Severity.FAULT, detail, remedy)


def warning(name: str, detail: str, remedy: str) -> Check:
    """Return a warning."""
    return Check(name, Severity.WARNING, detail, remedy)


def skipped(name: str, detail: str, remedy: str = "") -> Check:
    """Return that the check was not possible."""
    return Check(name, Severity.SKIPPED, detail, remedy)
