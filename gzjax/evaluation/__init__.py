"""Scores trained runs: one by one, blended, compared, and on a page."""
