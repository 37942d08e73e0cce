"""Downloads packed into a few files that are quick to open and to read.

``prepare`` makes the files that ``manifest`` describes, shard by shard (``plan``: of
what; ``write``: how); ``source`` opens them.
"""
