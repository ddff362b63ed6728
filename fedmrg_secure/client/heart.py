"""A site's heartbeat: it says that the site is alive, and hears which site needs help."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fedmrg_secure.client.site import Site
from fedmrg_secure.client.snapshot_sealing import Helper
from fedmrg_secure.core.errors import FedmrgError

_BEATS_PER_TIMEOUT: Final = 5
_TIMEOUTS_OF_SILENCE: Final = 1.5


class Heart:
    """Calls the coordinator often enough, also while the site trains.

    The answer may pass on that another site asks for a snapshot.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._timeout_s = site.manifest.site_timeout_ms / 1000
        self._ended, self._beating = threading.Event(), threading.Lock()

    def fall_silent(self) -> None:
        """Say nothing for so long that the coordinator goes on without this site."""
        with self._beating:
            time.sleep(_TIMEOUTS_OF_SILENCE * self._timeout_s)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat during the block; the site's connection is closed at its end."""
        helper = Helper()

        def beat() -> None:
            while not self._ended.wait(self._timeout_s / _BEATS_PER_TIMEOUT):
                try:
                    with self._beating:
                        helper.consider(self._site.coordinator.heartbeat())
                except FedmrgError:
                    continue  # the foreground's next call meets the same trouble and tells of it

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            with helper.at_work(self._site):
                try:
                    yield
                finally:
                    self._ended.set()
                    self._site.coordinator.close()  # ends calls under way: they could outlast it
        finally:
            thread.join()  # a thread inside gRPC while the interpreter ends would abort the process
