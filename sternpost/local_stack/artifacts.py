"""The pinned Maven artifacts of the local stack: fetched once, verified against checked-in hashes, kept in the cache.

`artifacts.txt` names every file by its Maven coordinate, size in bytes and SHA-256; `python -m
sternpost.local_stack.pin` writes it. Nothing that is not on that list with that hash is ever run.

The cache is `$XDG_CACHE_HOME/sternpost` (`~/.cache/sternpost` where that is unset). A file gets there by a rename out
of a staging folder, after its hash was checked, so neither an interruption nor a second process leaves half a file.
A warm start compares size and modification time with those recorded when the hash was checked, and reads no file.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import DependencyError
from sternpost.local_stack.progress import Downloads

if TYPE_CHECKING:
    from jgo.maven import MavenContext

_PARALLEL_DOWNLOADS = 4
_HTTP_TIMEOUT_S = 20


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
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.extension}"

    @property
    def path(self) -> Path:
        """Where it lies in a Maven repository, and below the cache folder."""
        return Path(*self.group.split("."), self.name, self.version, self.filename)

    def __str__(self) -> str:
        return ":".join(filter(None, (self.group, self.name, self.version, self.classifier, self.extension)))


def pinned() -> list[Artifact]:
    """All artifacts of the local stack, in classpath order."""
    lines = resources.files("sternpost.local_stack").joinpath("artifacts.txt").read_text("utf-8").splitlines()
    return [_artifact(*line.split()) for line in lines if line and not line.startswith("#")]


def _artifact(component: str, coordinate: str, size: str, sha256: str) -> Artifact:
    group, name, version, classifier, extension = coordinate.split(":")
    return Artifact(component, group, name, version, classifier, extension, int(size), sha256)


def cache_dir() -> Path:
    """Where the artifacts are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sternpost"


class Cache:
    """The verified artifacts in one folder; safe to use from several processes at once."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir()

    def fetch(self, artifacts: Sequence[Artifact]) -> list[Path]:
        """The artifacts' paths, in the given order, downloaded where they are missing or not what was pinned.

        Raises DependencyError where one cannot be had, or where what came is not what is pinned.
        """
        files = [self.folder / "maven" / artifact.path for artifact in artifacts]
        if not self._unverified(artifacts):
            return files
        with self.locked():
            missing = [artifact for artifact in self._unverified(artifacts) if not self._verify(artifact)]
            if missing:
                self._download(missing)
        return files

    def unpack(self, artifact: Artifact) -> Path:
        """The folder that a pinned `.tar.gz` was unpacked to."""
        target = self.folder / "unpacked" / f"{artifact.name}-{artifact.version}-{artifact.sha256[:12]}"
        if _is_complete(target):
            return target
        [archive] = self.fetch([artifact])
        with self.locked():
            if not _is_complete(target):
                shutil.rmtree(target, ignore_errors=True)
                with self.staging() as staging:
                    with tarfile.open(archive) as tar:
                        # Python 3.11.4 brought the filter; the archive's hash is pinned, so older ones do without.
                        tar.extraction_filter = getattr(tarfile, "data_filter", None)
                        tar.extractall(staging)  # noqa: S202 (the filter above)
                    (staging / _LISTING).write_text(json.dumps(_listing(staging)), "utf-8")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    staging.rename(target)
        return target

    def _unverified(self, artifacts: Sequence[Artifact]) -> list[Artifact]:
        try:
            stamps = json.loads(self._stamps.read_text("utf-8"))
        except (OSError, ValueError):
            stamps = {}
        return [
            artifact
            for artifact in artifacts
            if stamps.get(str(artifact.path)) != [artifact.sha256, *_stamp(self.folder / "maven" / artifact.path)]
        ]

    def _verify(self, artifact: Artifact) -> bool:
        """Whether the cached file is the pinned one, read through; one that is not is removed."""
        file = self.folder / "maven" / artifact.path
        if not file.exists():
            return False
        if _sha256(file) != artifact.sha256:
            file.unlink()
            return False
        self._record(artifact)
        return True

    def _record(self, artifact: Artifact) -> None:
        try:
            stamps: dict[str, Any] = json.loads(self._stamps.read_text("utf-8"))
        except (OSError, ValueError):
            stamps = {}
        stamps[str(artifact.path)] = [artifact.sha256, *_stamp(self.folder / "maven" / artifact.path)]
        new = self._stamps.with_suffix(".new")
        new.write_text(json.dumps(stamps, indent=0), "utf-8")
        new.replace(self._stamps)

    def _download(self, artifacts: Sequence[Artifact]) -> None:
        with self.staging() as staging, Downloads(artifacts) as downloads:
            context = maven_context(staging, downloads)
            with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
                fetched = pool.map(lambda artifact: _download_one(context, artifact), artifacts)
                try:
                    for artifact, file in zip(artifacts, fetched, strict=True):
                        target = self.folder / "maven" / artifact.path
                        target.parent.mkdir(parents=True, exist_ok=True)
                        file.replace(target)
                        self._record(artifact)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    @property
    def _stamps(self) -> Path:
        return self.folder / "verified.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the cache."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise DependencyError(
                f"the cache folder {self.folder} cannot be written ({error.strerror}): "
                "set XDG_CACHE_HOME to a folder that can"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder on the cache's file system, while it is locked; what an earlier, killed process left is removed."""
        parent = self.folder / "staging"
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir()
        try:
            yield Path(tempfile.mkdtemp(dir=parent))
        finally:
            shutil.rmtree(parent, ignore_errors=True)


def maven_context(repo_cache: Path, downloads: "Downloads | None" = None) -> "MavenContext":
    """Maven as this machine has it: jgo's own default repository, and those of its settings file."""
    try:
        from jgo.config import GlobalSettings
        from jgo.maven import MavenContext, PythonResolver
        from jgo.maven._core import DEFAULT_REMOTE_REPOS
    except ImportError as error:
        raise DependencyError(
            f"the local stack needs the Python package {error.name}: pip install 'sternpost[local]', "
            "or set STERNPOST_KAFKA__BOOTSTRAP_SERVERS to a cluster of your own"
        ) from error

    logging.getLogger("jgo").setLevel(logging.CRITICAL)  # what it would log, we check and raise
    return MavenContext(
        resolver=PythonResolver(progress_callback=downloads.track if downloads else None),
        repo_cache=repo_cache,
        remote_repos={**DEFAULT_REMOTE_REPOS, **GlobalSettings.load().repositories},
        timeout=_HTTP_TIMEOUT_S,
    )


def _download_one(context: "MavenContext", artifact: Artifact) -> Path:
    import requests

    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    try:
        file = component.artifact(artifact.classifier, artifact.extension).resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise DependencyError(
            f"{artifact} could not be downloaded ({_cause(error)}). The first start of the local stack needs network "
            "access to a Maven repository (HTTPS_PROXY and jgo's settings file are heeded); after that it needs none. "
            "Check the network and start again: what has been downloaded is kept"
        ) from error
    found = _sha256(file)
    if found != artifact.sha256:
        raise DependencyError(
            f"{artifact} was refused: its SHA-256 is {found}, pinned is {artifact.sha256}. The Maven repository, or "
            "something between it and this machine, sent another file: try again, and do not use it if that persists"
        )
    return file


def _cause(error: BaseException) -> str:
    """A short word on what failed: the errors of HTTP libraries are long and repeat the address."""
    import requests

    match error:
        case requests.ConnectTimeout() | requests.ReadTimeout():
            return "no answer in time"
        case requests.exceptions.ProxyError():
            return "the proxy refused or does not answer"
        case requests.exceptions.SSLError():
            return "TLS failed: is the certificate authority known to Python?"
        case requests.ConnectionError():
            return "no connection"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection broke"
        case RuntimeError():
            return "no repository has it"
        case _:
            return str(error) or type(error).__name__


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(file: Path) -> list[int]:
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


_LISTING = ".unpacked.json"


def _listing(folder: Path) -> dict[str, list[int]]:
    return {
        str(file.relative_to(folder)): _stamp(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != _LISTING
    }


def _is_complete(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / _LISTING).read_text("utf-8")) == _listing(folder))
    except (OSError, ValueError):
        return False
