"""Show the progress of downloads on stderr: a bar on a terminal, a few plain lines elsewhere."""

import threading
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

_PLAIN_STEPS = 4


class Downloads:
    """The progress of all downloads together. `advance` may be called from several threads."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """Take the files' sizes in bytes. Nothing is shown if there are none."""
        self._console = Console(stderr=True)
        self._total = sum(sizes)
        self._what = f"{len(sizes)} file{'s' if len(sizes) > 1 else ''} of the local stack"
        self._done = 0
        self._step = 0
        self._lock = threading.Lock()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
            disable=not self._console.is_terminal or not sizes,
        )
        self._task = self._progress.add_task(f"Downloading {self._what}", total=self._total)

    def __enter__(self) -> Self:
        self._progress.start()
        if not self._console.is_terminal and self._total:
            self._line(f"downloading {self._what}, {self._total / 1e6:.0f} MB, once")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, count: int) -> None:
        """Count `count` more bytes as downloaded."""
        self._progress.advance(self._task, count)
        with self._lock:
            self._done += count
            step = self._done * _PLAIN_STEPS // max(1, self._total)
            if step > self._step and not self._console.is_terminal:
                self._step = step
                self._line(f"downloaded {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
