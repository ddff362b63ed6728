"""What belongs to one site alone, on its own disk: nothing of it is ever sent.

::

    state/private-0003.safetensors  the memory after three applied passes; earlier ones are removed
    state/update.safetensors        the pass in hand: its clipped update, and the memory after it
    state/private.safetensors       the memory at the end, with the weight of path B

A *memory* is what `SiteTrainer.memory` gives: the specialized part of the model, and what the
factorization keeps back (its feedback). A site trains once a pass, whatever happens. The update and
the memory that belongs to it are one file: killed before it is there, the site trains again from
the memory before; killed after, or when the round is aborted, it sends the same update. Once the
sum of the pass is known the memory is settled (`Factorization.settle`), which is where a site that
the sum went on without keeps its feedback back; only then is it the memory after the pass. The
specialized part keeps what it has learnt either way.

All files have mode 0600 and are whole or absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from fedmrg_secure.client.state import ANEW, SiteStateBroken
from fedmrg_secure.core.durable import write_durably
from fedmrg_secure.core.types import FloatVector

Memory = Mapping[str, npt.NDArray[np.float32]]

_VECTOR: Final = "vector"
_MEMORY: Final = "memory."
_OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True)
class KeptUpdate:
    """One pass's training, done and on disk.

    Attributes:
        vector: the clipped update, shape (factorization.vector_size,), float64.
        memory: of the site after training, before the sum of the pass is known.
    """

    vector: FloatVector
    memory: Memory


class PrivateStore:
    """The private files of one site.

    Args:
        folder: the site's state folder, there already.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, number: int, memory: Memory) -> None:
        """Keep the memory after pass `number`; durable on return."""
        self._write(self._path(number), memory)

    def load(self, number: int) -> Memory:
        """The memory after pass `number`.

        Raises:
            SiteStateBroken: it is not there, or cannot be read.
        """
        return _read(self._path(number))

    def keep_update(self, number: int, base_hash: str, update: KeptUpdate) -> None:
        """Keep the training of pass `number` from the state `base_hash`; durable on return."""
        tensors = {_MEMORY + name: value for name, value in update.memory.items()}
        self._write(
            self._update_path,
            {**tensors, _VECTOR: update.vector},
            {"pass": str(number), "base": base_hash},
        )

    def update(self, number: int, base_hash: str) -> KeptUpdate | None:
        """The kept training of pass `number` from the state `base_hash`; None if there is none."""
        if not self._update_path.exists():
            return None
        try:
            with safe_open(self._update_path, framework="numpy") as file:
                made_for = file.metadata() or {}
        except (SafetensorError, OSError):
            return None
        if made_for != {"pass": str(number), "base": base_hash}:
            return None
        tensors = _read(self._update_path)
        memory = {
            name.removeprefix(_MEMORY): value
            for name, value in tensors.items()
            if name.startswith(_MEMORY)
        }
        return KeptUpdate(np.asarray(tensors[_VECTOR], dtype=np.float64), memory)

    def keep_only(self, number: int) -> None:
        """Pass `number` is applied: remove its training and the memories before it."""
        self._update_path.unlink(missing_ok=True)
        for path in self._folder.glob("private-*.safetensors"):
            if path != self._path(number):
                path.unlink()

    def save_final(self, memory: Memory) -> None:
        """Keep the memory at the session's end; durable on return."""
        self._write(self._folder / "private.safetensors", memory)

    def _write(
        self,
        path: Path,
        tensors: Mapping[str, npt.NDArray[np.generic]],
        metadata: dict[str, str] | None = None,
    ) -> None:
        values = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        write_durably(path, save(values, metadata), mode=_OWNER_ONLY)

    def _path(self, number: int) -> Path:
        return self._folder / f"private-{number:04d}.safetensors"

    @property
    def _update_path(self) -> Path:
        return self._folder / "update.safetensors"


def _read(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise SiteStateBroken(
            f"the site's private memory cannot be read: {error}", location=str(path), hint=ANEW
        ) from error
