"""Experiments as lab notes: one file per system, variants as ``:argument``."""
