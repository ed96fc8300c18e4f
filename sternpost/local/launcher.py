"""Become another program that dies with its parent: `python launcher.py SIGNAL PARENT_PID PROGRAM ARGUMENT…`.

A parent that is killed with SIGKILL cannot end its children, so the kernel must: Linux sends SIGNAL to this process
when the parent is gone. The request survives `exec`, so the pid that the parent knows is the program's own, no process
stands between them, and stopping or killing it is exact. A watchdog process would be one more thing that can die.
On other systems the program is merely started; it ends with an orderly end of its parent.

Run by path with `python -I -S`, so that it costs some 10 ms: it imports nothing of ours.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    signal_number, parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before the request was made
            sys.exit(1)
    try:
        os.execv(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main()
