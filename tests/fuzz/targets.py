"""Every parser of a peer's bytes, with bytes that it must accept, to be changed."""

from __future__ import annotations

from tests.fuzz import targets_crypto, targets_identities, targets_logs, targets_protocol
from tests.fuzz.target import Target


def all_targets() -> list[Target]:
    """Every parser that a peer's bytes reach."""
    rooms = (targets_protocol, targets_crypto, targets_identities, targets_logs)
    return [target for room in rooms for target in room.targets()]
