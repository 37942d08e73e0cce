"""Two networks side by side, to be trained by mutual learning (Zhang et al. 2018).

They share nothing but the galaxies; each sees them at a resolution of its own, and what
either answers is compared with the other by the loss.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.network import check_choice
from gzjax.ops.pooling import mean_pool
from gzjax.ops.windows import Window

NETWORKS = ("first", "second")
ANSWERS = ("both", *NETWORKS)


def shrunk_sizes(input_size: int, shrinks: tuple[int, int]) -> tuple[int, int]:
    """What each network sees of views whose blocks of s x s pixels become one.

    Raises:
        ValueError: not two whole numbers above 0 that divide the size.
    """
    if len(shrinks) != 2 or not all(
        isinstance(s, int) and s > 0 and input_size % s == 0 for s in shrinks
    ):
        raise ValueError(
            f"shrinks is {shrinks}, not two whole numbers above 0 that divide "
            f"{input_size} px"
        )
    return input_size // shrinks[0], input_size // shrinks[1]


class Pair(nn.Module):
    """``images [b h w c], train → logits [b n a]``, n networks.

    In training n = 2. Otherwise it is as many as ``answers`` names, and a network that
    it does not name is not computed.

    Attributes:
        input_size: h = w.
        num_outputs: a.
        first: a network of one view; its parameters lie under "first".
        second: another, under "second".
        shrinks: of the networks: s x s pixels of the view become their mean, which
            commutes with quarter turns and mirror images; 1: the view itself.
        answers: in evaluation: "both", "first" or "second".

    Raises:
        ValueError: on construction: a shrink does not divide the view, a network is of
            another size or number of outputs, or a value that cannot be.
    """

    input_size: int
    num_outputs: int
    first: nn.Module
    second: nn.Module
    shrinks: tuple[int, int] = (1, 1)
    answers: str = "both"

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "answers", ANSWERS)
        sizes = shrunk_sizes(self.input_size, self.shrinks)
        for name, size in zip(NETWORKS, sizes, strict=True):
            network = getattr(self, name)
            has = (network.input_size, network.num_outputs)
            needs = (size, self.num_outputs)
            if has != needs:
                raise ValueError(
                    f"{name} has (input_size, num_outputs) = {has}, not {needs}"
                )

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        everything = train or self.answers == "both" or self.is_initializing()
        logits = []
        for name, shrink in zip(NETWORKS, self.shrinks, strict=True):
            if everything or self.answers == name:
                view = mean_pool(images, Window("shrink", shrink, shrink))
                logits.append(getattr(self, name)(view, train))
        return jnp.stack(logits, axis=1)
