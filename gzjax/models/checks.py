"""Checks of a network's fields, for messages of one form."""

from collections.abc import Sequence

import flax.linen as nn


def check_choice(model: nn.Module, field: str, known: Sequence) -> None:
    """Raises a ValueError if a field is none of the known values."""
    value = getattr(model, field)
    if value not in known:
        raise ValueError(
            f"{field} is {value!r}; there are: {', '.join(map(str, known))}"
        )


def check_lengths(model: nn.Module, fields: Sequence[str], num_convs: int) -> None:
    """Raises a ValueError if a field has not one value for each convolution."""
    for field in fields:
        value = getattr(model, field)
        if len(value) != num_convs:
            raise ValueError(
                f"{field} is {value}, not one number for each of the {num_convs} "
                "convolutions"
            )


def check_whole(model: nn.Module, fields: Sequence[str]) -> None:
    """Raises a ValueError if a field's values are not whole numbers above 0."""
    for field in fields:
        value = getattr(model, field)
        if not all(isinstance(n, int) and n > 0 for n in value):
            raise ValueError(f"{field} is {value}, not whole numbers above 0")
