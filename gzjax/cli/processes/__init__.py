"""Finds which process of a run this is, and meets the others."""
