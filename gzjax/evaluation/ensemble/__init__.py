"""Blends of predictions, from files alone."""
