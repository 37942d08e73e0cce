"""Answers for images without votes: in Python, as files, as programs for others."""
