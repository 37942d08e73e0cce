"""Data sets with random access: ids, votes, pixels."""
