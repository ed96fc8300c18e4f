"""The permission to change something on the cluster, in the registry or at the endpoint.

Every operation that changes something takes `allowed: ChangesAllowed | None` and begins with

    require(allowed, "send dead letters back")

which raises ChangesNotAllowedError for None, before anything is asked of the brokers. Operations that only look take no
such argument.

- A command that changes something passes `ChangesAllowed()`: whoever typed it meant it.
- The console keeps one value for all of its pages: `ChangesAllowed()` if it was started with `--allow-changes`, else
  None. It passes that on wherever an operation wants it, so that a page that forgets to hide a button still changes
  nothing.
- Checks that would be more precise with a change leave that part out without the permission, and say so (`doctor`).

To add such an operation, take the argument and call `require` first. A test walks this package and finds the functions
that reach a Kafka or registry call that writes, and do not.
"""

from runtime.errors import ConfigurationError


class ChangesAllowed:
    """Whoever has one may change things."""

    __slots__ = ()


class ChangesNotAllowedError(ConfigurationError):
    """An operation that changes something was called without the permission."""


def require(allowed: ChangesAllowed | None, what: str) -> None:
    """Raise ChangesNotAllowedError unless changes are allowed; `what` completes "may not …"."""
    if not isinstance(allowed, ChangesAllowed):
        raise ChangesNotAllowedError(f"this console is read-only and may not {what}", "start it with --allow-changes")
