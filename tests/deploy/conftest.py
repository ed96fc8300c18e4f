"""What the tests of the deployment share."""

from collections.abc import Iterator

import pytest

from tests.deploy.image import Images, prepare, remove


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """The image and its -debug twin, built once a session and removed at its end."""
    images = prepare(tmp_path_factory.mktemp("image"))
    yield images
    remove(images)
