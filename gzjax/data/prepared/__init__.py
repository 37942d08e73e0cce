"""A download made into a few files that are quick to open and to read, and its source.

``prepare`` makes the files (``plan``: what of; ``parts``: by all cores; ``state``,
``journal``: over interruptions; ``result``: what is written last), ``source`` opens
them; ``files`` and ``manifest`` say what they are.
"""
