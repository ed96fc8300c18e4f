"""What to say if a disk is full, read-only or broken: which file or folder, why, and what to do."""

import contextlib
import errno
import shutil
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
