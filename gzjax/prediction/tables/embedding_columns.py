"""The table of ``predict --kind=embeddings``: a row per galaxy, a column a feature."""

from collections.abc import Sequence

import numpy as np

from gzjax.prediction.tables.formats import NUMBER, TEXT, Column

_NAME, _FLAG = "name", "flag"
_OK = "ok"  # the flag of a row with features


def embedding_columns(num_features: int) -> tuple[Column, ...]:
    """``name``, ``flag``, and ``feature_0`` to the last, all with as many digits."""
    digits = len(str(num_features - 1))
    return (
        Column(_NAME, TEXT, "GalaxyID or file name"),
        Column(_FLAG, TEXT, f"'{_OK}', or why there are no features"),
        *(
            Column(f"feature_{i:0{digits}}", NUMBER, "of the network's last features")
            for i in range(num_features)
        ),
    )


def embedding_table(
    names: Sequence[str], features: np.ndarray, flags: Sequence[str]
) -> dict[str, np.ndarray]:
    """A chunk of the table.

    Args:
        names: n.
        features: ``[n f]``.
        flags: n; where one is not ``"ok"`` the features are NaN.

    Returns:
        An array ``[n]`` for each of :func:`embedding_columns`, in their order.
    """
    flags = np.array(flags, np.str_)
    numbers = np.where((flags == _OK)[:, None], np.float64(features), np.nan)
    columns = [column.name for column in embedding_columns(features.shape[1])]
    return dict(zip(columns, [np.array(names, np.str_), flags, *numbers.T],
                    strict=True))  # fmt: skip
