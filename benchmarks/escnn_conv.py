"""escnn's group convolution as a module between plain tensors, to compare speed with.

escnn's own filters come from a steerable basis, so it is the same width, not the same
numbers. escnn installs badly beside NumPy 2, which JAX needs: one dependency wants a
Fortran compiler, another (lie_learn) is built for NumPy 1.
"""

import torch
from escnn import gspaces
from escnn.nn import FieldType, GeometricTensor, R2Conv

from gzjax.ops.groups import Group


class EscnnConv(torch.nn.Module):
    """``R2Conv``, ``[b T·in h w] → [b g·out h' w']``; expands its filter at every call.

    Args:
        group: the point group.
        planes_in: planes in.
        planes_out: planes out.
        size: k of the k x k filter.
        lifting: of an image.
    """

    def __init__(
        self, group: Group, planes_in: int, planes_out: int, size: int, lifting: bool
    ):
        super().__init__()
        make = {"p4": gspaces.rot2dOnR2, "p4m": gspaces.flipRot2dOnR2}
        gspace = make[group.name](4)
        source = gspace.trivial_repr if lifting else gspace.regular_repr
        self.source = FieldType(gspace, planes_in * [source])
        target = FieldType(gspace, planes_out * [gspace.regular_repr])
        self.conv = R2Conv(self.source, target, size, bias=False)

    def forward(self, x):
        return self.conv(GeometricTensor(x, self.source)).tensor
