"""Temporary folders, what to do if there is no place for them, and the removal of those that nobody uses any more."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from runtime.errors import ConfigurationError, DependencyError

MEMORY = "/dev/shm"  # noqa: S108 (mkdtemp makes a folder of its own in it)
"""A file system in memory, which Linux has: files there need no disk, and a full disk does not harm them."""

LOCK = "in-use"
"""The file in a folder that each process which uses it has a shared lock on."""

NEW_S = 60.0
"""How old such a file must be before its folder can be abandoned: a new one may not be locked yet."""


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


def hold(folder: str) -> None:
    """Mark a folder as in use for as long as this process lives, however it ends. Raises OSError."""
    descriptor = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # never closed: the lock goes with the process


def remove_abandoned(prefix: str) -> None:
    """Remove this user's folders that were held, and whose processes were all killed.

    Locks tell, not process ids: those are the same in each container, and containers may share the memory.
    """
    parents = [MEMORY]
    with contextlib.suppress(OSError):
        parents.append(tempfile.gettempdir())
    for parent in parents:
        for lock in Path(parent).glob(f"{prefix}*/{LOCK}"):
            with contextlib.suppress(OSError), lock.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_uid == os.geteuid() and time.time() - found.st_mtime > NEW_S:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.parent)


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
