"""Computes on the device without parameters.

In: arrays. Out: arrays. Convolutions, groups, views, windows, pooling, heads, colour.
"""
