"""Draws galaxies whose votes follow from the picture."""
