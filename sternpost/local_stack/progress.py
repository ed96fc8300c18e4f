"""How downloads are shown: a bar on a terminal, a few plain lines elsewhere; always on stderr."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from sternpost.local_stack.artifacts import Artifact

_PLAIN_STEPS = 4


class Downloads:
    """The progress of all downloads together; `track` is called from several threads."""

    def __init__(self, artifacts: "Sequence[Artifact]") -> None:
        self._console = Console(stderr=True)
        self._total = sum(artifact.size for artifact in artifacts)
        self._what = f"{len(artifacts)} file{'s' if len(artifacts) > 1 else ''} of the local stack"
        self._done = 0
        self._step = 0
        self._lock = threading.Lock()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(f"Downloading {self._what}", total=self._total)

    def __enter__(self) -> Self:
        self._progress.start()
        if not self._console.is_terminal:
            self._line(f"downloading {self._what}, {self._total / 1e6:.0f} MB, once")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextlib.contextmanager
    def track(self, filename: str, size: int) -> Iterator[Callable[[int], None]]:
        yield self._advance

    def _advance(self, count: int) -> None:
        self._progress.advance(self._task, count)
        with self._lock:
            self._done += count
            step = self._done * _PLAIN_STEPS // self._total
            if step > self._step and not self._console.is_terminal:
                self._step = step
                self._line(f"downloaded {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
