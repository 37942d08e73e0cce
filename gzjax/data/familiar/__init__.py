"""Tells whether an image looks like the galaxies that a network was trained on."""
