"""Become a program that dies with its parent: `python launcher.py SIGNAL PARENT_PID PROGRAM ARGUMENT…`.

A parent that gets SIGKILL cannot end its children, so the kernel does: Linux sends SIGNAL to this process when its
parent dies (https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html). That survives `exec`, so the pid that
the parent knows is the program's own, and no process stands between them. A watchdog would be one more process that can
die. On other systems the program is only started; it ends if its parent ends gracefully.

This runs by path with `python -I -S` and imports nothing of ours, so it costs about 10 ms.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Replace this process with the program on the command line."""
    signal_number, parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before prctl
            sys.exit(1)
    try:
        os.execv(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main()
