"""What a person sees while a federation runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_REFRESH_S: Final = 0.2
_MEBIBYTE: Final = 2**20


@dataclass
class SiteView:
    """What is shown of one site."""

    phase: str = "starting"
    round: int = 0
    done: int = 0
    total: int = 0
    loss: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0


class Progress:
    """Shows a run on `console`; a context manager.

    Args:
        console: where to draw; a live table if it is a terminal, else a line an event.
        name: the run's name.
        sites: the participating sites in the order shown.
        rounds: how many rounds of the protocol the run has.
    """

    def __init__(self, console: Console, name: str, sites: Sequence[str], rounds: int) -> None:
        self._console = console
        self._name = name
        self._rounds = rounds
        self._views = {site: SiteView() for site in sites}
        self._coordinator = "starting"
        self._started = time.monotonic()
        self._drawn = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.update(self._render(), refresh=True)
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """A line that stays, with the seconds since the start."""
        stamp = f"[{time.monotonic() - self._started:6.1f} s] "
        self._console.print(Text(stamp, style="dim") + Text(text, style=style), soft_wrap=True)

    def site_event(self, site: str, fields: Mapping[str, Any]) -> None:
        """Take in one event of a site's process."""
        view = self._views[site]
        kind = fields["event"]
        if kind == "phase":
            view.phase, view.round = str(fields["phase"]), int(fields.get("round", view.round))
            view.done = view.total = 0
        elif kind == "step":
            view.done, view.total = int(fields["step"]), int(fields["steps"])
            view.loss = fields["loss"]
        elif kind in ("transfer", "batch"):
            view.done, view.total = int(fields["done"]), int(fields["total"])
        elif kind == "round":
            view.bytes_up += int(fields["bytes"]["up"])
            view.bytes_down += int(fields["bytes"]["down"])
            self._say_round(site, fields)
        self.draw()

    def coordinator_phase(self, text: str) -> None:
        """What the coordinator does now."""
        if text != self._coordinator and not self._console.is_terminal:
            self.say(f"coordinator: {text}")
        self._coordinator = text
        self.draw()

    def site_phase(self, site: str, phase: str) -> None:
        """Set a site's phase from outside (lost, stopped)."""
        self._views[site].phase = phase
        self.draw()

    def draw(self) -> None:
        """Redraw the live table, at most some times a second."""
        moment = time.monotonic()
        if self._console.is_terminal and moment - self._drawn >= _REFRESH_S:
            self._drawn = moment
            self._live.update(self._render(), refresh=True)

    def _say_round(self, site: str, fields: Mapping[str, Any]) -> None:
        if self._console.is_terminal:
            return
        seconds = fields["seconds"]
        phases = ", ".join(f"{phase} {value:.1f} s" for phase, value in seconds.items())
        up, down = fields["bytes"]["up"] / _MEBIBYTE, fields["bytes"]["down"] / _MEBIBYTE
        loss = "" if fields["loss"] is None else f"loss {fields['loss']:.3f}, "
        self.say(
            f"round {fields['round']}/{self._rounds}  {site}: {loss}"
            f"up {up:.2f} MiB, down {down:.2f} MiB ({phases})"
        )

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("site", style="bold", no_wrap=True)
        table.add_column("round", justify="right")
        table.add_column("phase", min_width=12, no_wrap=True)
        table.add_column("", width=18)
        table.add_column("loss", justify="right", min_width=6)
        table.add_column("sent", justify="right", min_width=9)
        table.add_column("received", justify="right", min_width=9)
        for site, view in self._views.items():
            bar = ProgressBar(total=view.total, completed=view.done, width=18)
            table.add_row(
                site,
                f"{view.round}/{self._rounds}",
                view.phase,
                bar if view.total else "",
                "" if view.loss is None else f"{view.loss:.3f}",
                f"{view.bytes_up / _MEBIBYTE:.2f} MiB",
                f"{view.bytes_down / _MEBIBYTE:.2f} MiB",
            )
        elapsed = time.monotonic() - self._started
        title = Text.assemble(
            (self._name, "bold"), f"  {elapsed:.0f} s  coordinator: {self._coordinator}"
        )
        return Group(title, table)
