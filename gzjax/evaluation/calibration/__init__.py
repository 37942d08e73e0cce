"""Measures when a run's answers can be trusted: unlike images, and intervals."""
