"""What a site keeps on its own disk, so that it can be killed at any point and go on.

::

    state/state.json              which round was applied last
    state/round-0003.safetensors  the shared state after round 3 (0: the initial state)
    state/round-0003.json         its hash, and the hash of the history up to it
    state/keys/epoch-1.key        the federation's decryption key of an epoch (mode 0600)
    state/keys/round-HASH.key     this site's own key of a round, until its shares are with their
                                  holders (mode 0600)
    state/signed.json             what this site has signed of each round
    state/nonce.json              this site's nonce of the round in hand
    state/outgoing/               the encrypted update and sealed key shares of the round in hand,
                                  not yet acknowledged
    state/finished                the session has finished

`client.private_store` has what is the site's alone. A round here is one of the protocol: a pass.
Every file is written beside its place, flushed and renamed; `state.json` comes last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from fedmrg_secure.core.canonical import HASH_BYTES, tagged_hash
from fedmrg_secure.core.durable import flush, overwrite_and_remove, write_durably, write_numbered
from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.core.merkle import leaf_hash, merkle_root
from fedmrg_secure.crypto.keys import SecretBytes
from fedmrg_secure.update.layout import Layout

SharedState = Mapping[str, npt.NDArray[np.float32]]
_UPLOAD: Final = "upload.json"
_DEPOSIT: Final = "deposit.json"
ANEW: Final = "move the state folder away to join anew from the session's start"
"""What helps against a broken file of the site's own."""


class SiteStateBroken(FedmrgError):
    """A file of the site's own state cannot be read back."""

    code: ClassVar[str] = "FMRG-6201"


@dataclass(frozen=True)
class Applied:
    """The last round whose aggregate this site has applied.

    Attributes:
        session: hash of the session manifest, hex.
        round: its number, 0 before the first.
        training_round: how many rounds have been applied in all; aborted rounds do not count.
        plan_hash: of its plan, hex; empty before the first.
        model_hash: `hash_state` after it, hex.
        transcript: hash of the history up to it, as every site computes it for itself, hex.
    """

    session: str
    round: int
    training_round: int
    plan_hash: str
    model_hash: str
    transcript: str


@dataclass(frozen=True)
class Outgoing:
    """An encrypted update on disk, complete and ready to be sent (again).

    Attributes:
        plan_hash: the plan it was made for, hex.
        chunk_hashes: RFC 6962 leaf hash of each frame, hex.
        merkle_root: over them, hex.
        total_bytes: of all frames.
        folder: where the frames lie.
    """

    plan_hash: str
    chunk_hashes: list[str]
    merkle_root: str
    total_bytes: int
    folder: Path

    def frame(self, index: int) -> bytes:
        """The bytes of one frame, read from disk."""
        return _frame_path(self.folder, index).read_bytes()


def hash_state(state: SharedState) -> str:
    """The hash by which sites compare public states: names, shapes and float32 values, hex.

    Raises:
        LayoutError: a tensor is one that must not leave its site.
    """
    layout = Layout.of({name: tensor.shape for name, tensor in state.items()})
    values = layout.flatten(state).astype("<f4")
    return tagged_hash(
        "fedmrg/model-state/v1", bytes.fromhex(layout.digest), values.tobytes()
    ).hex()


class SiteStore:
    """The state folder of one site.

    Args:
        folder: made if absent, mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "keys").mkdir(exist_ok=True, mode=0o700)

    def applied(self) -> Applied | None:
        """The last applied round, None on a first start.

        Raises:
            SiteStateBroken: its file is there and cannot be read.
        """
        pointer = self.folder / "state.json"
        if not pointer.exists():
            return None
        try:
            number = json.loads(pointer.read_text(encoding="utf-8"))["training_round"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _unreadable(pointer, error) from error
        return self.applied_at(number)

    def applied_at(self, training_round: int) -> Applied:
        """What this site has applied as the n-th round.

        Raises:
            SiteStateBroken: it is not there, or cannot be read.
        """
        path = self._applied_path(training_round)
        try:
            return Applied(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise _unreadable(path, error) from error

    def load_state(self, training_round: int) -> dict[str, npt.NDArray[np.float32]]:
        """The shared state after `training_round` applied rounds."""
        path = self.state_path(training_round)
        try:
            return load_file(path)
        except Exception as error:
            raise SiteStateBroken(
                f"the model state cannot be read: {error}",
                location=str(path),
                hint=ANEW,
            ) from error

    def state_path(self, training_round: int) -> Path:
        return self.folder / f"round-{training_round:04d}.safetensors"

    def save_applied(self, applied: Applied, state: SharedState) -> None:
        """Keep the state after a round; durable on return."""
        path = self.state_path(applied.training_round)
        scratch = path.with_suffix(".part")
        save_file({name: np.ascontiguousarray(values) for name, values in state.items()}, scratch)
        flush(scratch)
        scratch.replace(path)
        write_durably(
            self._applied_path(applied.training_round), json.dumps(asdict(applied)).encode()
        )
        self._point_to(applied.training_round)

    def mark_finished(self) -> None:
        """The session has finished: a site started again has only its own part left to do."""
        write_durably(self.folder / "finished", b"")

    @property
    def is_finished(self) -> bool:
        """Whether `mark_finished` was called, before a restart too."""
        return (self.folder / "finished").exists()

    def key(self, epoch: int) -> SecretBytes | None:
        """The decryption key of an epoch, None if this site has not got it yet."""
        path = self._key_path(epoch)
        return SecretBytes(path.read_bytes()) if path.exists() else None

    def save_key(self, epoch: int, key: SecretBytes) -> None:
        write_durably(self._key_path(epoch), key.reveal(), mode=0o600)

    def spoil_key(self, epoch: int) -> None:
        """Remove a key for good: its opening of a sum was refused, and must not be tried again."""
        write_durably(self._spoiled_path(epoch), b"")
        overwrite_and_remove(self._key_path(epoch))

    def is_spoiled(self, epoch: int) -> bool:
        """Whether `spoil_key` was called for the epoch, before a restart too."""
        return self._spoiled_path(epoch).exists()

    def sealed_keys(self, epoch: int) -> dict[str, bytes] | None:
        """The epoch's key as this site, its maker, has sealed it to each site; None before."""
        path = self._sealed_path(epoch)
        if not path.exists():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: bytes.fromhex(value) for name, value in content.items()}

    def save_sealed_keys(self, epoch: int, sealed: Mapping[str, bytes]) -> None:
        """Keep the sealings: sealing is randomised, and another one would be refused."""
        content = {name: value.hex() for name, value in sealed.items()}
        write_durably(self._sealed_path(epoch), json.dumps(content).encode())

    def round_key(self, plan_hash: str) -> SecretBytes | None:
        """This site's own key of the round with this plan, None if it has made none."""
        path = self._round_key_path(plan_hash)
        return SecretBytes(path.read_bytes()) if path.exists() else None

    def save_round_key(self, plan_hash: str, key: SecretBytes) -> None:
        """Keep this site's own key of a round; those of other rounds are removed."""
        self.forget_round_key()
        write_durably(self._round_key_path(plan_hash), key.reveal(), mode=0o600)

    def forget_round_key(self) -> None:
        """Overwrite and remove this site's own key of a round, also one that was half written."""
        for path in (self.folder / "keys").glob("round-*.key*"):
            overwrite_and_remove(path)

    def forget_keys(self) -> None:
        """Overwrite and remove every decryption key: the session is over."""
        for path in (self.folder / "keys").iterdir():
            overwrite_and_remove(path)

    def outgoing(self, plan_hash: str) -> Outgoing | None:
        """The complete encrypted update made for this plan, if there is one."""
        path = self._outgoing_folder / _UPLOAD
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if content.get("plan_hash") != plan_hash:
            return None
        return Outgoing(**content, folder=self._outgoing_folder)

    def write_outgoing(self, plan_hash: str, frames: Iterable[bytes]) -> Outgoing:
        """Keep an encrypted update, frame by frame; complete and durable on return.

        Args:
            plan_hash: the plan it is for, hex.
            frames: in chunk order; taken one by one, so that memory holds only one.
        """
        self.clear_outgoing()
        folder = self._outgoing_folder
        folder.mkdir(mode=0o700)
        hashes, total_bytes = [], 0
        for index, frame in enumerate(frames):
            _frame_path(folder, index).write_bytes(frame)
            hashes.append(leaf_hash(frame))
            total_bytes += len(frame)
        chunk_hashes, root = [value.hex() for value in hashes], merkle_root(hashes).hex()
        content = {
            "plan_hash": plan_hash,
            "chunk_hashes": chunk_hashes,
            "merkle_root": root,
            "total_bytes": total_bytes,
        }
        write_durably(folder / _UPLOAD, json.dumps(content).encode())
        return Outgoing(plan_hash, chunk_hashes, root, total_bytes, folder)

    def deposit(self, plan_hash: str) -> tuple[bytes, ...] | None:
        """The shares of this site's key as it has sealed them under this plan; None before."""
        try:
            content = json.loads((self._outgoing_folder / _DEPOSIT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if content.get("plan_hash") != plan_hash:
            return None
        return tuple(bytes.fromhex(value) for value in content["sealed"])

    def save_deposit(self, plan_hash: str, sealed: Sequence[bytes]) -> None:
        """Keep the sealed shares beside the update: sealing is randomised, and another sealing
        would be another commitment. Durable on return."""
        content = {"plan_hash": plan_hash, "sealed": [value.hex() for value in sealed]}
        write_durably(self._outgoing_folder / _DEPOSIT, json.dumps(content).encode())

    def clear_outgoing(self) -> None:
        """Remove the encrypted update of the round in hand."""
        shutil.rmtree(self._outgoing_folder, ignore_errors=True)

    def nonce(self, round_number: int) -> bytes:
        """This site's nonce of a round: fresh at the first call, the same after a restart.

        It is fresh too where the file is a copy: a plan with the nonce of before is then not one
        for this site, which can not know what it has signed under it.
        """
        known = self._known_nonce(round_number)
        if known is not None:
            return known
        nonce = os.urandom(HASH_BYTES)
        content = {"round": round_number, "nonce": nonce.hex()}
        write_numbered(
            self.folder / "nonce.json", lambda file: json.dumps({**content, "file": file}).encode()
        )
        return nonce

    def has_nonce(self, round_number: int) -> bool:
        """Whether this site has made a nonce for a round, and has its own file of it."""
        return self._known_nonce(round_number) is not None

    def _known_nonce(self, round_number: int) -> bytes | None:
        path = self.folder / "nonce.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if (content["round"], content["file"]) == (round_number, path.stat().st_ino):
                return bytes.fromhex(content["nonce"])
        except (OSError, ValueError, KeyError):
            pass
        return None

    @property
    def _outgoing_folder(self) -> Path:
        return self.folder / "outgoing"

    def _applied_path(self, training_round: int) -> Path:
        return self.folder / f"round-{training_round:04d}.json"

    def _point_to(self, training_round: int) -> None:
        content = json.dumps({"training_round": training_round})
        write_durably(self.folder / "state.json", content.encode())

    def _spoiled_path(self, epoch: int) -> Path:
        return self.folder / "keys" / f"epoch-{epoch}.spoiled"

    def _sealed_path(self, epoch: int) -> Path:
        return self.folder / "keys" / f"epoch-{epoch}.sealed.json"

    def _round_key_path(self, plan_hash: str) -> Path:
        return self.folder / "keys" / f"round-{plan_hash[:16]}.key"

    def _key_path(self, epoch: int) -> Path:
        return self.folder / "keys" / f"epoch-{epoch}.key"


def _unreadable(path: Path, error: Exception) -> SiteStateBroken:
    return SiteStateBroken(
        f"the site's state cannot be read: {error}", location=str(path), hint=ANEW
    )


def _frame_path(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.frame"
