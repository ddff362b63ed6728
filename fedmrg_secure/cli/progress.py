"""What a person sees while trainings run side by side: bars, or plain lines without a terminal."""

from __future__ import annotations

from typing import Any

from fedmrg_secure.cli.output import Output


class TrainingProgress:
    """A bar for all trainings on a terminal's stderr; a line for each finished one elsewhere.

    A context manager, and a callback told from any thread: a training's name, the share of it that
    is done, and what it is doing.

    Args:
        output: of the command.
        total: all trainings.
        todo: those that are not done yet.
    """

    def __init__(self, output: Output, total: int, todo: int) -> None:
        import threading

        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._output, self._total, self._todo = output, total, todo
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[doing]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._done = total - todo
        self._all = self._bars.add_task("all", total=total, completed=self._done, doing="")

    def __enter__(self) -> TrainingProgress:
        if self._console.is_terminal and self._todo:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal and self._todo:
            self._bars.stop()

    def __call__(self, name: str, share: float, doing: str) -> None:
        with self._lock:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=1.0, doing="")
            self._bars.update(self._tasks[name], completed=share, doing=doing)
            if share < 1.0:
                return
            self._done += 1
            self._bars.remove_task(self._tasks[name])
            self._bars.update(self._all, completed=self._done)
            if not self._console.is_terminal:
                self._output.note(f"{self._done}/{self._total} {name} is {doing}")
