"""The cache against a Maven repository of our own: a real HTTP server, asked by the real client."""

import hashlib
import io
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime.errors import DependencyError
from sternpost.local import artifacts
from sternpost.local.artifacts import Artifact, Cache
from tests.support.serving import serving


class Repository:
    """Serves `files` by path, cut off after `cut` bytes where that is set, and counts what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.asked: Counter[str] = Counter()
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = repository.files.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                repository.asked[self.path] += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: repository.cut])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, name: str, content: bytes, extension: str = "jar") -> Artifact:
        sha256 = hashlib.sha256(content).hexdigest()
        artifact = Artifact("test", "org.example", name, "1.0", "", extension, len(content), sha256)
        self.files[f"/{artifact.path.as_posix()}"] = content
        return artifact

    def requests(self, artifact: Artifact) -> int:
        return self.asked[f"/{artifact.path.as_posix()}"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    repository = Repository()
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {repository.url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(repository.server):
        yield repository


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_what_was_fetched_once_is_not_asked_for_again(repository: Repository, cache: Cache) -> None:
    wanted = [repository.add("a", b"first"), repository.add("b", b"second")]

    assert [file.read_bytes() for file in cache.fetch(wanted)] == [b"first", b"second"]
    assert [file.read_bytes() for file in Cache(cache.folder).fetch(wanted)] == [b"first", b"second"]
    assert [repository.requests(artifact) for artifact in wanted] == [1, 1]


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(repository: Repository, cache: Cache) -> None:
    good, replaced = repository.add("good", b"good"), repository.add("replaced", b"expected")
    repository.files[f"/{replaced.path.as_posix()}"] = b"anything else"

    with pytest.raises(
        DependencyError, match=r"org\.example:replaced:1\.0:jar was refused: its SHA-256 is not the pinned"
    ) as refused:
        cache.fetch([good, replaced])

    assert replaced.sha256 in str(refused.value)
    assert not (cache.folder / "maven" / replaced.path).exists()
    assert list(cache.folder.glob("staging/*")) == []
    assert cache.fetch([good])[0].read_bytes() == b"good"


def test_a_broken_download_is_one_error_and_the_next_try_succeeds(repository: Repository, cache: Cache) -> None:
    artifact = repository.add("large", b"x" * 100_000)
    repository.cut = 50_000

    with pytest.raises(DependencyError, match=r"org\.example:large:1\.0:jar could not be downloaded"):
        cache.fetch([artifact])
    assert not (cache.folder / "maven" / artifact.path).exists()

    repository.cut = None
    assert cache.fetch([artifact])[0].stat().st_size == 100_000


def test_a_file_that_no_repository_has_is_one_error(repository: Repository, cache: Cache) -> None:
    artifact = repository.add("missing", b"")
    repository.files.clear()
    with pytest.raises(DependencyError, match="no repository has it"):
        cache.fetch([artifact])


def test_without_network_the_error_says_what_to_do(repository: Repository, cache: Cache) -> None:
    wanted = [repository.add(name, b"content") for name in "abcdef"]
    repository.server.server_close()
    with pytest.raises(DependencyError, match=r"needs network access to a Maven repository.*start again"):
        cache.fetch(wanted)


def test_a_tampered_file_is_fetched_again(repository: Repository, cache: Cache) -> None:
    artifact = repository.add("a", b"content")
    [file] = cache.fetch([artifact])
    file.write_bytes(b"CONTENT")  # of the same size

    assert cache.fetch([artifact]) == [file]
    assert file.read_bytes() == b"content"
    assert repository.requests(artifact) == 2


def test_a_tampered_file_is_refused_where_it_cannot_be_fetched_again(repository: Repository, cache: Cache) -> None:
    artifact = repository.add("a", b"content")
    [file] = cache.fetch([artifact])
    file.write_bytes(b"CONTENT")
    repository.files.clear()

    with pytest.raises(DependencyError, match="could not be downloaded"):
        cache.fetch([artifact])
    with pytest.raises(DependencyError, match="could not be downloaded"):  # and again: the file alone is not enough
        cache.fetch([artifact])


def test_two_processes_at_once_fetch_each_file_once(repository: Repository, cache: Cache) -> None:
    wanted = [repository.add(name, name.encode() * 10_000) for name in "abcdefgh"]
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sternpost.local.artifacts import Artifact, Cache\n"
        f"wanted = {[vars(artifact) for artifact in wanted]!r}\n"
        "files = Cache(Path(sys.argv[1])).fetch([Artifact(**each) for each in wanted])\n"
        "assert all(file.stat().st_size == 10_000 for file in files)\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(cache.folder)], stderr=subprocess.PIPE) for _ in range(2)
    ]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert [repository.requests(artifact) for artifact in wanted] == [1] * len(wanted)


def test_a_cache_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    artifact = Artifact("test", "org.example", "a", "1.0", "", "jar", 1, "0" * 64)
    with pytest.raises(DependencyError, match="set XDG_CACHE_HOME"):
        Cache(tmp_path / "file" / "cache").fetch([artifact])


def test_an_archive_is_unpacked_once(repository: Repository, cache: Cache) -> None:
    archive = repository.add("program", _packed("lib/a.jar", "run.jar"), "tar.gz")

    folder = cache.unpack(archive)
    assert (folder / "lib/a.jar").read_text() == "lib/a.jar"
    unpacked_at = folder.stat().st_ino
    (cache.folder / "maven" / archive.path).unlink()
    assert cache.unpack(archive).stat().st_ino == unpacked_at
    assert repository.requests(archive) == 1, "the archive is not needed again"


def test_an_archive_whose_unpacking_was_interrupted_is_unpacked_again(
    repository: Repository, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = repository.add("program", _packed("lib/a.jar", "run.jar"), "tar.gz")

    def interrupted(tar: tarfile.TarFile, folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "extractall", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cache.unpack(archive)
    assert {file.name for file in cache.unpack(archive).iterdir()} == {"lib", "run.jar"}


def _packed(*names: str) -> bytes:
    """A `.tar.gz` of files that contain their own names."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    return packed.getvalue()


def test_the_pins_are_complete_and_name_no_address() -> None:
    pins = artifacts.pinned()
    versions = {artifact.name: artifact.version for artifact in pins}

    assert versions["kafka-clients"] == versions["kafka_2.13"]
    assert len({artifact.path for artifact in pins}) == len(pins)
    assert all(len(artifact.sha256) == 64 and int(artifact.sha256, 16) and artifact.size > 0 for artifact in pins)
    assert [artifact.extension for artifact in pins if artifact.component == "registry"] == ["tar.gz"]
    assert "://" not in Path(artifacts.__file__).with_name("artifacts.txt").read_text()
