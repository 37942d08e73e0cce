"""Keeps the checkpoints of a run. Nothing else knows of Orbax."""
