"""The train step of a config as compiled for some devices: FLOP, bytes, collectives."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import jax
import numpy as np
from collectives import Collective, find_collectives

from gzjax.steps.compiled import Programs
from gzjax.steps.mesh import by_batch, make_mesh
from gzjax.steps.phases import make_phases
from gzjax.training.load_config import load_config
from gzjax.trees.tree_file import find_tree

MOST = 1.02  # times the parameters' bytes
QUICKLY = {"xla_backend_optimization_level": 0}  # nothing is run


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A train step for some devices: what each computes and sends."""

    num_devices: int
    flops: float
    collectives: list[Collective]

    @property
    def others(self) -> dict[str, int]:
        """Collectives that are no all-reduces, by kind."""
        kinds = Counter()
        for c in self.collectives:
            kinds[c.kind] += c.times
        return {kind: n for kind, n in kinds.items() if kind != "all-reduce"}

    @property
    def all_reduces(self) -> tuple[int, ...]:
        """Bytes of each."""
        return tuple(
            c.num_bytes
            for c in self.collectives
            if c.kind == "all-reduce"
            for _ in range(c.times)
        )


def compile_step(config, num_devices: int, images: int) -> tuple[Compiled, int]:
    """The step with ``images`` on each device; and the bytes of all parameters."""
    config = config.copy_and_resolve_references()
    config.batch_size = images * num_devices
    tree, mesh = find_tree(config.tree), make_mesh(jax.devices()[:num_devices])
    programs, rows = Programs(make_phases(config), tree, mesh), by_batch(mesh)
    views, size = len(config.view.angles_deg), config.view.size_px
    batch = {
        "images": ((views, size, size, 3), np.uint8),
        "colour": ((3, 4), np.float32),
        "targets": ((tree.num_answers,), np.float32),
    }
    batch = {
        name: jax.ShapeDtypeStruct((config.batch_size, *shape), dtype, sharding=rows)
        for name, (shape, dtype) in batch.items()
    }
    state = programs.abstract_state()
    step = programs.train_step(config.head_warmup_steps)
    compiled = step.lower(state, batch).compile(QUICKLY)
    # Of the loop over pieces of a batch XLA counts one turn.
    flops = float(compiled.cost_analysis()["flops"]) * config.accumulate_steps
    collectives = find_collectives(compiled.as_text())
    sizes = [p.size * p.dtype.itemsize for p in jax.tree.leaves(state.params)]
    return Compiled(num_devices, flops, collectives), sum(sizes)


def measure(
    name: str, overrides: list[str], counts: Sequence[int], images: int
) -> dict:
    """What is compiled of a config, JSON-ready, by number of devices.

    Args:
        name: as ``--config=`` has it.
        overrides: ``--config.KEY=VALUE``.
        counts: of devices.
        images: on each device.
    """
    config = load_config(name, overrides)
    rows = []
    for count in counts:
        compiled, param_bytes = compile_step(config, count, images)
        rows.append(
            {
                "devices": count,
                "gflop_per_image": compiled.flops / images / 1e9,
                "all_reduces": compiled.all_reduces,
                "bytes": sum(compiled.all_reduces),
                "others": compiled.others,
            }
        )
    return {"name": name, "parameter_bytes": param_bytes, "compiled": rows}


def sends_gradients_once(result: dict) -> bool:
    """Whether several devices send their parameters' bytes and little more.

    In all-reduces alone; 2 % besides, for the statistics of batch norm and the loss. On
    one device nothing may be sent.
    """
    return all(
        not row["others"] and least <= row["bytes"] <= MOST * least
        for row in result["compiled"]
        for least in [result["parameter_bytes"] if row["devices"] > 1 else 0]
    )
