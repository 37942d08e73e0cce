"""Reads and checks tables of vote fractions."""
