"""Which code encrypts and opens blocks."""

from __future__ import annotations

from fedmrg_secure.crypto.multiparty import pure

encrypt_blocks = pure.encrypt_blocks
open_blocks = pure.open_blocks
