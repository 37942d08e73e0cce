"""Pictures and pages, from numbers that are in files: Matplotlib, no JAX."""
