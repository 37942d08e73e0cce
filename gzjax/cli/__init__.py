"""The command line: flags, commands, and joining the processes of a run."""
