"""Blends predictions, from files alone."""
