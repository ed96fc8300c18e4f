"""Places in a copy of the product at which a scenario kills it, freezes it or holds a thread.

A fault at a random moment hits the few microseconds between two calls once in hours; here it hits them at once, on a
machine of any speed. The copies that no mutation has changed have the same places.

A scenario arms a place by a file with its name. Whichever process comes there first takes the file, and does what it
says. This module is copied beside the product and imports nothing of ours.
"""

import os
import signal
import time
from pathlib import Path

FOLDER = "BREAKPOINTS"
"""The environment variable that names the folder of the files."""

KILL, FREEZE, HOLD, NOTE = "kill", "freeze", "hold", "note"
"""Kill the worker, freeze the service until it gets SIGCONT, hold the thread until it is released, or go on."""

TAKEN, RELEASED = ".taken", ".released"

IMPORTED = "imported"
"""A file that says that the copy is what ran."""

if FOLDER in os.environ:
    Path(os.environ[FOLDER], IMPORTED).touch()


def reached(name: str) -> None:
    """Do what the scenario wants here, if it wants anything."""
    armed = Path(os.environ[FOLDER], name)
    taken = armed.with_suffix(TAKEN)
    try:
        armed.rename(taken)
    except FileNotFoundError:
        return
    wanted = taken.read_text()
    if wanted == HOLD:
        while not armed.with_suffix(RELEASED).exists():
            time.sleep(0.02)
    elif wanted == KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif wanted == FREEZE:
        os.killpg(os.getpgrp(), signal.SIGSTOP)
