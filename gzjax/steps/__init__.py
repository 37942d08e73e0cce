"""Builds what runs inside jit.

In: a config, a tree and a mesh of devices. Out: compiled steps that train and predict.
Knows no file and no data set.
"""
