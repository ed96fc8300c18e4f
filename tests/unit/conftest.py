"""Fixtures for all unit tests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support import certificate


@pytest.fixture(autouse=True, scope="package")
def _few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have each HTTP client read one certificate instead of all that Mozilla trusts, which takes it 20 ms of CPU.

    No unit test asks a server that one of those would vouch for.
    """
    file, _ = certificate.make(tmp_path_factory.mktemp("authorities"), ends=datetime.now(UTC) + timedelta(days=1))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(file))
        yield
