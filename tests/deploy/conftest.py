from collections.abc import Iterator

import pytest

from tests.deploy.image import Images, prepare
from tests.deploy.tools import outcome, tool


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """The image and its -debug twin, built once a session and removed at its end."""
    images = prepare(tmp_path_factory.mktemp("image"))
    yield images
    tags = images.podman("images", "--format={{.Repository}}:{{.Tag}}", "--filter=reference=*sternpost-test-*")
    outcome(tool("podman"), "rmi", "--force", *tags.split(), environment=images.environment)
