"""Does all of a release that needs no upload: `make release-check`.

Builds wheel and sdist twice, each time from a clone of its own in a folder of another name, and compares them byte by
byte. Installs each in an empty environment with the pinned dependencies and runs `sternpost demo` there. Writes a bill
of materials, and packages the chart. What it made is in build/release/.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / "build/release"
PYTHON_BIN = Path(sys.executable).parent


def main() -> None:
    """Build, compare, install and try; exit with 1 and what failed otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only-build", action="store_true", help="Build and compare, but install nothing.")
    arguments = parser.parse_args()
    shutil.rmtree(RELEASE, ignore_errors=True)
    RELEASE.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="sternpost-release-") as scratch:
        first, second = (build(Path(scratch, name)) for name in ("one", "the-other"))
        compare(first, second)
        for file in first:
            shutil.copy2(file, RELEASE)
        if not arguments.only_build:
            for file in first:
                environment = Path(scratch, f"environment-{file.suffix.strip('.')}")
                try_out(file, environment)
            bill_of_materials(Path(scratch, "environment-whl"))
            package_chart(version_of(first))
    for file in sorted(RELEASE.iterdir()):
        say(f"{digest(file)}  {file.name}")


def build(folder: Path) -> list[Path]:
    """Build the committed tree from a clone in `folder`; return the sdist and the wheel."""
    run("git", "clone", "--quiet", ROOT, folder)
    moment = run("git", "-C", folder, "log", "-1", "--format=%ct").strip()
    command = (sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--target", "wheel")
    run(*command, cwd=folder, SOURCE_DATE_EPOCH=moment)
    return sorted((folder / "dist").iterdir())


def compare(first: list[Path], second: list[Path]) -> None:
    """Exit if two builds differ."""
    if [file.name for file in first] != [file.name for file in second]:
        sys.exit(f"the builds have other names: {first}, {second}")
    for one, other in zip(first, second, strict=True):
        if one.read_bytes() != other.read_bytes():
            sys.exit(f"two builds of {one.name} differ: {digest(one)}, {digest(other)}")
        say(f"{one.name}: the same twice")


def try_out(file: Path, environment: Path) -> None:
    """Install a wheel or sdist in an empty environment, and run the demo there from an empty folder."""
    venv.create(environment, with_pip=True)
    pins = re.sub(r" \\\n(?:    --hash=\S+(?: \\)?\n)+", "\n", (ROOT / "requirements/dev.txt").read_text("utf-8"))
    pins = re.sub(r"\[[^\]]*\](?===)", "", pins)  # a constraint has no extras
    constraints = environment / "constraints.txt"
    constraints.write_text(pins, "utf-8")
    pip = (environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # By these names the build of the sdist takes the pins too: what mypy compiles has to suit the librt that is pinned.
    pinned = str(constraints)
    run(*pip, f"sternpost[local] @ {file.as_uri()}", PIP_CONSTRAINT=pinned, PIP_BUILD_CONSTRAINT=pinned)
    empty = environment / "empty"
    empty.mkdir()
    program = environment / "bin/sternpost"
    said = run(program, "--version", cwd=empty).split()[-1]
    if said != version_of([file]):
        sys.exit(f"{file.name} installs version {said}")
    asked = "from processor.service import COMPILED; print(COMPILED)"
    if run(environment / "bin/python", "-c", asked, cwd=empty).strip() != "True":
        sys.exit(f"{file.name} installs without its compiled modules")
    result = json.loads(run(program, "demo", "--json", cwd=empty))
    say(f"{file.name}: installs in an empty environment, and its demo counts {json.dumps(result)[:100]}…")


def bill_of_materials(environment: Path) -> None:
    """Write what is installed with the wheel as CycloneDX, if syft is here (`make deploy-test` installs it)."""
    if not (PYTHON_BIN / "syft").exists():
        say("no bill of materials: syft is not installed")
        return
    output = RELEASE / "sternpost.cdx.json"
    run(PYTHON_BIN / "syft", "scan", "--quiet", f"dir:{environment / 'lib'}", "--output", f"cyclonedx-json={output}")
    found = len(json.loads(output.read_text("utf-8"))["components"])
    say(f"{output.name}: {found} components")


def package_chart(version: str) -> None:
    """Package the chart with the version of the program, if helm is here (`make deploy-test` installs it)."""
    helm = shutil.which("helm", path=f"{ROOT / '.venv/deploy/bin'}:{os.environ['PATH']}")
    if helm is None:
        say("no chart: helm is not installed")
        return
    semantic = re.sub(r"^(\d+\.\d+\.\d+)\.?(?=[a-z])", r"\1-", version)  # 1.2.3rc1 is 1.2.3-rc1 to helm
    names = ("--version", semantic, "--app-version", version, "--destination", RELEASE)
    say(run(helm, "package", ROOT / "deploy/helm/sternpost", *names).strip().rpartition("/")[2])


def version_of(files: list[Path]) -> str:
    """Return the version in the name of a wheel or sdist."""
    return re.split(r"-|\.tar\.gz", files[0].name)[1]


def digest(file: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def run(*command: object, cwd: Path = ROOT, **environment: str) -> str:
    """Return a command's standard output. Exit with what it said if it fails."""
    arguments = [str(part) for part in command]
    variables = {**os.environ, **environment}
    done = subprocess.run(arguments, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
