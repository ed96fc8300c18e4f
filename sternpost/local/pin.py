"""Resolve the local stack's artifacts and write `artifacts.txt`: `python -m sternpost.local.pin`.

Change a version below, run this, and review the difference before you commit it.
"""

import hashlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver

from sternpost.local.artifacts import Artifact

KAFKA = "4.4.0"
REGISTRY = "3.3.3"

# The clients are listed beside the broker because resolution may otherwise choose an older jar of them, on which the
# broker fails with a missing method. Kafka logs through slf4j 1.7 and ships no implementation of it.
_COMPONENTS = {
    "kafka": (
        f"org.apache.kafka:kafka_2.13:{KAFKA}",
        f"org.apache.kafka:kafka-clients:{KAFKA}",
        "org.slf4j:slf4j-simple:1.7.36",
    ),
    "registry": (f"io.apicurio:apicurio-registry-app:{REGISTRY}:all:tar.gz",),
}

_HEADER = """\
# {what}: component, group:artifact:version:classifier:extension, bytes, SHA-256.
# Written by `python -m {module}`.
"""


def write(file: Path, components: Mapping[str, Sequence[str]], what: str, module: str) -> None:
    """Resolve components and write their pins to `file`.

    Each component has coordinates: `group:artifact:version` for a jar with all that it needs to run, or
    `group:artifact:version:classifier:extension` for one file. `what` and `module` are for the file's head.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=Path(folder),
            remote_repos={**MavenContext().remote_repos, **GlobalSettings.load().repositories},
        )
        # While it downloads, jgo compares the SHA-1 that the repository publishes, and only warns if it differs.
        logging.basicConfig(level=logging.WARNING)
        logging.getLogger("jgo").setLevel(logging.WARNING)
        lines = [_lines(component, coordinates, context) for component, coordinates in components.items()]
    file.write_text(_HEADER.format(what=what, module=module) + "".join(lines), "utf-8")


def _lines(component: str, coordinates: Sequence[str], context: MavenContext) -> str:
    """Return the lines of a component."""
    jars = [coordinate for coordinate in coordinates if coordinate.count(":") == 2]
    roots, transitive = context.resolver.resolve([context.create_dependency(jar) for jar in jars]) if jars else ((), ())
    found = [d.artifact for d in [*roots, *(d for d in transitive if d.scope in ("compile", "runtime"))]]
    for coordinate in coordinates:
        if coordinate not in jars:
            group, name, version, classifier, extension = coordinate.split(":")
            found.append(context.project(group, name).at_version(version).artifact(classifier, extension))
    lines = ""
    for one in found:
        file = one.resolve()
        artifact = Artifact(
            component=component,
            group=one.groupId,
            name=one.artifactId,
            version=one.version,
            classifier=one.classifier,
            extension=one.packaging,
            size=file.stat().st_size,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        coordinate = ":".join(
            (artifact.group, artifact.name, artifact.version, artifact.classifier, artifact.extension)
        )
        lines += f"{component} {coordinate} {artifact.size} {artifact.sha256}\n"
    return lines


if __name__ == "__main__":
    write(
        Path(__file__).with_name("artifacts.txt"),
        _COMPONENTS,
        "Every file that the local stack runs",
        "sternpost.local.pin",
    )
