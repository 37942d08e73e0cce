"""Comparing systems: one budget for all, their scores, and one table of them."""
