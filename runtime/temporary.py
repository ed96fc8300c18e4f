"""Temporary folders, and what to do if there is no place for them."""

import os
import tempfile

from runtime.errors import ConfigurationError, DependencyError

MEMORY = "/dev/shm"  # noqa: S108 (mkdtemp makes a folder of its own in it)
"""A file system in memory, which Linux has: files there need no disk, and a full disk does not harm them."""


def folder(prefix: str) -> "tempfile.TemporaryDirectory[str]":
    """Make a temporary folder that is removed with the object. Raises ConfigurationError if it cannot be made."""
    try:
        return tempfile.TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise unusable(error) from None


def lasting_folder(prefix: str) -> str:
    """Make a temporary folder that the caller removes. Raises ConfigurationError if it cannot be made."""
    try:
        return tempfile.mkdtemp(prefix=prefix)
    except OSError as error:
        raise unusable(error) from None


def memory_folder(prefix: str) -> str:
    """Make a folder in memory, or else a temporary one; the caller removes it.

    Raises ConfigurationError if neither can be made.
    """
    if os.path.isdir(MEMORY):
        try:
            return tempfile.mkdtemp(prefix=prefix, dir=MEMORY)
        except OSError:
            pass
    return lasting_folder(prefix)


def unusable(error: OSError) -> ConfigurationError:
    """Return the error for a temporary folder that cannot be made or written to."""
    return ConfigurationError(
        f"no temporary folder can be made ({error.strerror or error}); set TMPDIR to a folder that exists, can be "
        "written to and has room"
    )


def refused(name: str, error: Exception, afterwards: str = "") -> DependencyError:
    """Return the error for the temporary folder `name` if its disk refuses reads or writes.

    `afterwards` says what to do once there is room.
    """
    return DependencyError(
        f"the temporary folder {name} cannot be used ({error})",
        f"free space on its disk, or set TMPDIR to another folder{afterwards and '; '}{afterwards}",
    )
