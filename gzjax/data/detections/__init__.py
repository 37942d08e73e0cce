"""Finds where galaxies are in their images, and how large they are."""
