"""Federated training of LLM-driven medical report generators with secure aggregation."""

__version__ = "0.1.0"
