"""A process among several: which one it is, who else is there, and who was lost."""
