"""What to say of files that cannot be written or read: which file or folder, why, and what to do."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import DependencyError

REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM})
"""How a disk, or the system for it, refuses to be written to."""

FULL_BELOW_BYTES = 1 << 20


@contextlib.contextmanager
def writing(path: Path | str, remedy: str) -> Iterator[None]:
    """Name the file at fault, else `path`, if the block cannot write. Raises DependencyError."""
    try:
        yield
    except BrokenPipeError:
        raise  # not a disk's
    except OSError as error:
        raise unwritable(error.filename or path, error, remedy) from None


def unwritable(path: Path | str, error: Exception, remedy: str) -> DependencyError:
    """Return the error for a file or folder that cannot be written. `remedy` says what else than to make room."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DependencyError(f"{path} cannot be written ({reason})", remedy)


def is_full(folder: Path) -> bool:
    """Return whether the disk of a folder has no room left; False if that cannot be told."""
    try:
        return shutil.disk_usage(folder).free < FULL_BELOW_BYTES
    except OSError:
        return False


def unreadable(path: Path, *, may_be_folder: bool = False) -> str | None:
    """Return why a file cannot be read, as `which does not exist`; None if it can."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "which does not exist"
    except PermissionError:
        return "in a folder that this user may not enter"
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL in it
        return f"which cannot be looked for ({error.strerror if isinstance(error, OSError) else error})"
    if stat.S_ISDIR(mode) and not may_be_folder:
        return "which is a folder, and should be a file"
    return None if os.access(path, os.R_OK) else "which this user may not read"
