"""Scores of trained runs: one by one, together, against each other, on a page."""
