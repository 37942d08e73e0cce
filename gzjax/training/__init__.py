"""Makes a run and opens it again.

In: a config and a folder. Out: the run folder (``run_files`` names what is in it) with
its checkpoints, or a run opened from it.
"""
