"""Temporary folders, what to do if there is no place for them, and the removal of those that nobody uses any more."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
import weakref
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


def reclaimed_folder(prefix: str) -> "tempfile.TemporaryDirectory[str]":
    """Make a temporary folder as `folder` does, once those that killed processes left are removed.

    For what may be large. Raises ConfigurationError if it cannot be made.
    """
    remove_abandoned(prefix)
    made = folder(prefix)
    try:
        weakref.finalize(made, os.close, hold(made.name))
    except OSError as error:
        raise unusable(error) from None
    return made


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


def hold(folder: str) -> int:
    """Mark a folder as in use until this process ends, or closes the descriptor that it returns. Raises OSError."""
    descriptor = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def remove_abandoned(prefix: str) -> None:
    """Remove this user's folders that were held, and whose processes were all killed.

    Locks tell, not process ids: those are the same in each container, and containers may share the memory.
    """
    parents = [MEMORY]
    with contextlib.suppress(OSError):
        parents.append(tempfile.gettempdir())
    for parent in parents:
        for lock in Path(parent).glob(f"{prefix}*/{LOCK}"):
            with contextlib.suppress(OSError), open(lock, "rb", opener=_open_plainly) as file:
                found = os.fstat(file.fileno())
                is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
                if is_ours and time.time() - found.st_mtime > NEW_S:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.parent)


def _open_plainly(path: str, flags: int) -> int:
    """Open a file that another user may have made: no waiting for a pipe's writer, and no links."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


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
