"""Scores trained runs.

In: run folders and labelled data. Out: JSON, prediction files, tables and a page.
"""
