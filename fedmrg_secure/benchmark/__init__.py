"""Measured figures: what encryption costs."""
