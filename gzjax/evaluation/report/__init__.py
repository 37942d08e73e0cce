"""Draws pictures and renders a page from the files of runs."""
