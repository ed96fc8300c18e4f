"""CPU time and memory of a program and all its children."""

import contextlib

import psutil


class ProcessTree:
    """Of the process with this id, for as long as it lives."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self.peak_rss_bytes = 0

    def cpu_s(self) -> float:
        """CPU seconds so far, of living processes and of children they have waited for."""
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def sample_rss(self) -> None:
        """Measure the memory now, for `peak_rss_bytes`."""
        total = 0
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        self.peak_rss_bytes = max(self.peak_rss_bytes, total)

    def _all(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return []
