"""Weights of torchvision's residual networks, drawn by name: nothing needs storing."""

import zlib

import numpy as np

from gzjax.models.resnet import DEPTHS

NUM_CLASSES = 5


def resnet_shapes(depth, planes):
    """Name → shape of the state dict, without its counters of batches."""
    blocks, bottleneck = DEPTHS[depth]
    shapes = {"conv1.weight": (planes[0], 3, 7, 7)} | _norm("bn1", planes[0])
    size_in = planes[0]
    for stage, (num_blocks, width) in enumerate(zip(blocks, planes, strict=True)):
        size_out = width * 4 if bottleneck else width
        sizes = (1, 3, 1) if bottleneck else (3, 3)
        widths = [width] * (len(sizes) - 1) + [size_out]
        for block in range(num_blocks):
            name, here = f"layer{stage + 1}.{block}", size_in
            for i, (k, out) in enumerate(zip(sizes, widths, strict=True)):
                shapes[f"{name}.conv{i + 1}.weight"] = (out, here, k, k)
                shapes |= _norm(f"{name}.bn{i + 1}", out)
                here = out
            if block == 0 and (stage > 0 or size_in != size_out):
                shapes[f"{name}.downsample.0.weight"] = (size_out, size_in, 1, 1)
                shapes |= _norm(f"{name}.downsample.1", size_out)
            size_in = size_out
    return shapes | {
        "fc.weight": (NUM_CLASSES, size_in),
        "fc.bias": (NUM_CLASSES,),
    }


def draw(shapes):
    """float32 tensors of a size that keeps the activations of the order of 1."""
    return {name: _draw(name, shape).astype("f4") for name, shape in shapes.items()}


def draw_images(size_px):
    """float32 [2 h w c]."""
    rng = _rng(f"images of {size_px} px")
    return rng.normal(size=(2, size_px, size_px, 3)).astype("f4")


def _norm(name, size):
    values = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{value}": (size,) for value in values}


def _rng(name):
    # NumPy keeps these streams the same for ever; those of default_rng may change.
    return np.random.RandomState(zlib.crc32(name.encode()))


def _draw(name, shape):
    rng = _rng(name)
    if len(shape) > 1:
        return rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5
    if name.endswith("running_var"):
        return rng.uniform(0.1, 2, shape)
    if name.endswith("weight"):
        return rng.uniform(0.3, 0.9, shape)
    return rng.normal(size=shape) * 0.2
