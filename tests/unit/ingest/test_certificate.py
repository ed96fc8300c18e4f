"""Certificates and keys as operators have them, good and bad."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest import service
from ingest.certificate import read_expiry
from runtime.errors import ConfigurationError
from runtime.settings.model import IngestSettings
from tests.support.certificate import make


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return make(tmp_path, ends=datetime(2100, 1, 2, tzinfo=UTC))


def test_the_end_of_a_certificate_is_read(files: tuple[Path, Path]) -> None:
    assert read_expiry(*files) == datetime(2100, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("fault", ["missing", "garbage", "swapped", "another key", "a password"])
def test_what_cannot_be_served_is_said_with_its_settings(files: tuple[Path, Path], tmp_path: Path, fault: str) -> None:
    certificate, key = files
    match fault:
        case "missing":
            certificate.unlink()
        case "garbage":
            certificate.write_text("-----BEGIN CERTIFICATE-----\nnone\n")
        case "swapped":
            certificate, key = key, certificate
        case "another key":
            _, key = make(tmp_path / "other", ends=datetime(2100, 1, 2, tzinfo=UTC))
        case _:
            _, key = make(tmp_path, ends=datetime(2100, 1, 2, tzinfo=UTC), password=b"secret")
    with pytest.raises(ConfigurationError, match=r"ingest\.tls_certificate.*ingest\.tls_key"):
        read_expiry(certificate, key)


@pytest.mark.parametrize(("days", "level"), [(15, None), (13, "warning"), (-1, "error")])
def test_one_that_ends_soon_or_has_ended_is_said_and_served(tmp_path: Path, days: int, level: str | None) -> None:
    certificate, key = make(tmp_path, ends=datetime.now(UTC) + timedelta(days=days))
    with capture_logs() as lines:
        service._check_certificate(IngestSettings(tls_certificate=certificate, tls_key=key))
    assert [line["log_level"] for line in lines] == ([level] if level else [])
