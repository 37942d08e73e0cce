"""Two networks side by side, to be trained by mutual learning (Zhang et al. 2018).

They share nothing but the galaxies; each sees them at a resolution of its own, and what
either answers is compared with the other by the loss.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.ops.pooling import mean_pool
from gzjax.ops.windows import Window

NETWORKS = ("first", "second")
ANSWERS = ("both", *NETWORKS)


def shrunk_sizes(input_size: int, shrinks: tuple[int, int]) -> tuple[int, int]:
    """Returns the sizes of views whose blocks of s x s pixels become one."""
    if len(shrinks) != 2 or not all(
        isinstance(s, int) and s > 0 and input_size % s == 0 for s in shrinks
    ):
        raise ValueError(
            f"shrinks is {shrinks}, not two whole numbers above 0 that divide "
            f"{input_size} px"
        )
    return input_size // shrinks[0], input_size // shrinks[1]


class Pair(nn.Module):
    """``images [b h w c], train → logits [b n a]`` of n networks.

    In training n = 2. In evaluation only the networks that ``answers`` names are
    computed.

    Attributes:
        first: a network for a view of its :func:`shrunk_sizes`, as is ``second``.
        shrinks: s of each network: s x s pixels of the view become their mean, which
            commutes with quarter turns and mirror images.
        answers: "both", "first" or "second".

    Raises:
        ValueError: on construction, if there are no such answers.
    """

    input_size: int
    num_outputs: int
    first: nn.Module
    second: nn.Module
    shrinks: tuple[int, int] = (1, 1)
    answers: str = "both"

    def __post_init__(self):
        super().__post_init__()
        if self.answers not in ANSWERS:
            there_are = ", ".join(ANSWERS)
            raise ValueError(f"answers is {self.answers!r}; there are: {there_are}")

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        everything = train or self.answers == "both" or self.is_initializing()
        logits = []
        for name, shrink in zip(NETWORKS, self.shrinks, strict=True):
            if everything or self.answers == name:
                view = mean_pool(images, Window("shrink", shrink, shrink))
                logits.append(getattr(self, name)(view, train))
        return jnp.stack(logits, axis=1)
