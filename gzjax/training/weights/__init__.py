"""Reads weights from PyTorch files, torchvision ResNets and other runs."""
