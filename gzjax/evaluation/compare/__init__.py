"""Compares systems under one budget, in one table."""
