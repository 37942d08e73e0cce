"""Weights from elsewhere: PyTorch files, torchvision ResNets, other runs."""
