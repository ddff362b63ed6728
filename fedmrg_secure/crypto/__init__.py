"""Encryption of updates, and the identities, signatures and sealed keys of the parties."""
