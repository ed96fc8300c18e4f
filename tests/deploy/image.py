"""The image, built here from bases made of Debian's packages, and containers of it as a cluster would run them."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.tools import DEPLOY, ROOT, absent, outcome, project_version, run, tool

CONTAINERS_CONF = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""

STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""
"""Storage of the tests' own: nothing that was built before, and nothing that stays."""

BUILD_TIMEOUT_S = 900.0

RESTRICTED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--memory=256m", "--memory-swap=256m", "--network=host"),
)
"""How the containers are to run: nothing is writable but what a test mounts, and /dev/shm, which each container has."""


@dataclass(frozen=True)
class Images:
    """Built images, and the podman that has them."""

    folder: Path
    name: str
    tag: str
    debug_tag: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def podman(self, *arguments: object, timeout_s: float = 600) -> str:
        return run(tool("podman"), *arguments, environment=self.environment, timeout_s=timeout_s)

    def inspect(self, tag: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.podman("image", "inspect", tag or self.tag))[0]
        return found

    def files(self, tag: str | None = None) -> list[str]:
        """Paths of all files in the image, without the leading slash."""
        container = self.podman("create", "--network=host", tag or self.tag).strip().splitlines()[-1]
        try:
            archive = self.folder / f"{container}.tar"
            self.podman("export", "--output", archive, container)
            return run("tar", "--list", "--file", archive).splitlines()
        finally:
            self.podman("rm", container)

    def archive(self) -> Path:
        """The image as a registry would get it: an OCI archive with compressed layers."""
        path = self.folder / "image.tar"
        if not path.exists():
            self.podman("save", "--quiet", "--format=oci-archive", "--output", path, self.tag, timeout_s=600)
        return path

    def digest(self) -> str:
        """The digest of that archive's manifest, which names everything in it."""
        return run(tool("skopeo"), "inspect", "--format={{.Digest}}", f"oci-archive:{self.archive()}").strip()

    def build(self, name: str, extras: str = "") -> None:
        """Run deploy/build-image over the stand-ins for the bases, and name the image."""
        settings = {
            "IMAGE_BUILDER": "buildah",
            "BUILD_IMAGE": "localhost/sternpost-stand-in:build",
            "RUNTIME_IMAGE": "localhost/sternpost-stand-in:runtime",
            "BUSYBOX_IMAGE": "localhost/sternpost-stand-in:busybox",
            # The host's certificates, since package registries may be reached through a proxy that has its own.
            "BUILD_OPTIONS": "--isolation=chroot --network=host --volume=/etc/ssl/certs:/etc/ssl/certs:ro",
            "EXTRAS": extras,
        }
        environment = {**self.environment, **settings}
        run(DEPLOY / "build-image", name, environment=environment, timeout_s=BUILD_TIMEOUT_S)

    @contextmanager
    def container(self, *command: object, options: tuple[str, ...] = ()) -> Iterator[str]:
        """A container that runs by the name given, restricted as in a cluster; removed at the end."""
        name = f"sternpost-test-{uuid.uuid4().hex[:8]}"
        self.podman("run", "--detach", f"--name={name}", *RESTRICTED, *options, self.tag, *command)
        try:
            yield name
        finally:
            outcome(tool("podman"), "rm", "--force", "--time=5", name, environment=self.environment)

    def stop(self, container: str, timeout_s: int = 30) -> int:
        """Ask it to end, and give its exit code; 137 is that of one that had to be killed."""
        self.podman("stop", f"--time={timeout_s}", container, timeout_s=timeout_s + 30)
        return int(self.podman("inspect", "--format={{.State.ExitCode}}", container))


def prepare(folder: Path) -> Images:
    """Make the bases and build the image and its -debug twin. Skips the test if this machine cannot."""
    for name in ("buildah", "podman", "runc", "skopeo", "mmdebstrap"):
        tool(name)
    if os.geteuid() != 0:
        absent("root, which mmdebstrap and buildah's chroot isolation need,")
    return build(folder, folder / "bases")


def build(folder: Path, bases: Path) -> Images:
    """Run deploy/build-image in storage of its own below `folder`, over the bases that are made in `bases`."""
    folder.mkdir(exist_ok=True)
    (folder / "containers.conf").write_text(CONTAINERS_CONF, "utf-8")
    (folder / "storage.conf").write_text(STORAGE_CONF.format(folder=folder), "utf-8")
    name = "localhost/sternpost"
    version = project_version()
    images = Images(folder, name, f"{name}:{version}", f"{name}:{version}-debug")
    run(ROOT / "tests/deploy/stand_in_bases.sh", bases, environment=images.environment, timeout_s=BUILD_TIMEOUT_S)
    images.build(name)
    return images


def remove(images: Images) -> None:
    """Give back the space: hundreds of megabytes."""
    outcome(tool("podman"), "rm", "--all", "--force", "--time=1", environment=images.environment)
    outcome(tool("podman"), "rmi", "--all", "--force", environment=images.environment, timeout_s=600)
    outcome("umount", images.folder / "storage" / "overlay", environment=images.environment)
    shutil.rmtree(images.folder, ignore_errors=True)
