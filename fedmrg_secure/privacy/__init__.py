"""Differential privacy: noise, what it guarantees, and the ledger of what was spent."""
