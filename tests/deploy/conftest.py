"""What the tests of the deployment share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.image import Images, prepare, remove


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    """The image and its -debug twin, built once a session and removed at its end."""
    # Not below pytest's folder: podman mounts a file system there, and after a session that was killed, each later one
    # would fail to remove it.
    images = prepare(Path(tempfile.mkdtemp(prefix="sternpost-image-")))
    yield images
    remove(images)
