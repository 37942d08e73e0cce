"""Predicts images that have no votes.

In: run folders and images. Out: answers in Python, as files, or as exported programs.
"""
