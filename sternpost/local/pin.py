"""Resolve the local stack's artifacts and write `artifacts.txt`: `python -m sternpost.local.pin`.

Change a version below, run this, and review the difference before you commit it.
"""

import hashlib
import logging
import tempfile
from pathlib import Path

from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver

from sternpost.local.artifacts import Artifact

KAFKA = "4.4.0"
REGISTRY = "3.3.3"

# The clients are listed beside the broker because resolution may otherwise choose an older jar of them, on which the
# broker fails with a missing method. Kafka logs through slf4j 1.7 and ships no implementation of it.
_KAFKA_ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA}",
    f"org.apache.kafka:kafka-clients:{KAFKA}",
    "org.slf4j:slf4j-simple:1.7.36",
)
_REGISTRY_ROOT = ("io.apicurio", "apicurio-registry-app", REGISTRY, "all", "tar.gz")

_HEADER = """\
# Every file that the local stack runs: component, group:artifact:version:classifier:extension, bytes, SHA-256.
# Written by `python -m sternpost.local.pin`.
"""


def main() -> None:
    """Write `artifacts.txt`."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=Path(folder),
            remote_repos={**MavenContext().remote_repos, **GlobalSettings.load().repositories},
        )
        # While it downloads, jgo compares the SHA-1 that the repository publishes, and only warns if it differs.
        logging.basicConfig(level=logging.WARNING)
        logging.getLogger("jgo").setLevel(logging.WARNING)
        roots, transitive = context.resolver.resolve([context.create_dependency(root) for root in _KAFKA_ROOTS])
        group, name, version, classifier, extension = _REGISTRY_ROOT
        kafka = [d.artifact for d in [*roots, *(d for d in transitive if d.scope in ("compile", "runtime"))]]
        registry = context.project(group, name).at_version(version).artifact(classifier, extension)

        lines = []
        for component, found in [*(("kafka", a) for a in kafka), ("registry", registry)]:
            file = found.resolve()
            artifact = Artifact(
                component=component,
                group=found.groupId,
                name=found.artifactId,
                version=found.version,
                classifier=found.classifier,
                extension=found.packaging,
                size=file.stat().st_size,
                sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            )
            coordinate = ":".join(
                (artifact.group, artifact.name, artifact.version, artifact.classifier, artifact.extension)
            )
            lines.append(f"{component} {coordinate} {artifact.size} {artifact.sha256}\n")
    Path(__file__).with_name("artifacts.txt").write_text(_HEADER + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()
