"""`python -m tests.fuzz [TARGET…]`: run targets one after another, and print how many inputs each of them passed.

Inputs that reach new code are kept in build/fuzz/TARGET/corpus and used again by the next run. An input that a target
does not pass is left in build/fuzz/TARGET as `crash-…` or `oom-…`, beside the log; the exit code is then 1.
"""

import argparse
import hashlib
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from tests.fuzz import targets

NAMES = sorted(module.name for module in iter_modules(targets.__path__))
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "fuzz"
MEMORY_MB = 1024
LONGEST = 4096
"""The largest input in bytes."""


def main() -> int:
    """Run the targets named on the command line, or all. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=60, help="of CPU for each target (default: 60)")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(NAMES):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    failed = [name for name in arguments.targets or NAMES if not _run(name, arguments.seconds)]
    return 1 if failed else 0


def _run(name: str, seconds: float) -> bool:
    target = import_module(f"tests.fuzz.targets.{name}")
    folder = FOLDER / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.SEEDS:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    command = [sys.executable, "-m", "tests.fuzz.engine", name, str(seconds), str(corpus), f"-max_len={LONGEST}"]
    command += [f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={folder}/", "-timeout=36000", "-verbosity=0"]
    if words := getattr(target, "WORDS", ()):
        dictionary = folder / "words"
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words))
        command.append(f"-dict={dictionary}")
    log = folder / "log"
    with log.open("w") as output:
        code = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, check=False).returncode
    told = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("done: ")]
    sys.stdout.write(f"{name}: {told[-1] if told and code == 0 else f'failed, see {log}'}\n")
    sys.stdout.flush()
    return code == 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
