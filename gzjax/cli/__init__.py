"""Runs the command line.

In: argv. Out: an exit code. ``commands`` lists the commands, ``flags`` their flags,
``join`` starts a run of several processes.
"""
