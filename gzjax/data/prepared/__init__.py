"""Downloads packed into a few files that are quick to open and to read.

``prepare`` makes the files shard by shard (``plan``: of what; ``write``: how;
``check``: what is there already); ``source`` opens them; ``manifest`` describes them.
"""
