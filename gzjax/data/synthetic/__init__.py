"""Drawn galaxies whose votes follow from the picture."""
