"""`python -m tests.fuzz.engine TARGET SECONDS [libFuzzer's options]`: run one target in atheris.

Only our own modules are instrumented, and from their sources: compiled code counts no branches. Time is that of the
processor, so that a busy machine fails no input. The options: https://llvm.org/docs/LibFuzzer.html#options.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module

import atheris

PACKAGES = ["schemas", "runtime", "ingest", "processor", "sternpost"]
SLOWEST_S = 10
"""An input that takes longer counts as a failure. Instrumented code is some twenty times slower."""


class TooSlowError(Exception):
    """An input took too long."""


def main() -> None:
    """Fuzz until the time is over, or an input fails."""
    name, seconds = sys.argv.pop(1), float(sys.argv.pop(1))
    os.environ["PURE_PYTHON"] = "1"
    with atheris.instrument_imports(include=PACKAGES):
        target = import_module(f"tests.fuzz.targets.{name}")
    atheris.Setup(sys.argv, _timed(target.check, seconds))
    atheris.Fuzz()


def _timed(check: Callable[[bytes], None], seconds: float) -> Callable[[bytes], None]:
    inputs = 0

    def stop_input(_signal: int, _frame: object) -> None:
        raise TooSlowError(f"an input took {SLOWEST_S} s")

    def timed(data: bytes) -> None:
        nonlocal inputs
        inputs += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, SLOWEST_S)
        check(data)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if inputs % 16 == 0 and time.process_time() > seconds:
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # Linux counts in KiB
            sys.stdout.write(f"done: {inputs} inputs in {time.process_time():.0f} s of CPU and {peak_mb} MiB\n")
            sys.stdout.flush()
            os._exit(0)  # libFuzzer takes any other way for a crash

    signal.signal(signal.SIGVTALRM, stop_input)
    return timed


if __name__ == "__main__":
    main()
