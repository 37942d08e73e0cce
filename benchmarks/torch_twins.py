"""Networks of gzjax beside the same in PyTorch: alike to rounding, ready to be timed.

Peak memory is what a step takes beyond what lies there between steps, as XLA's
temporary memory is. On a CPU it is the largest sum of what PyTorch's allocator gave and
took back, by its profiler; on a GPU the allocator's own peak. Gradients count, as they
do in XLA. The resident memory of a process would add each library's code and compiler.
"""

import copy
from collections.abc import Callable

import jax
import numpy as np
import timing
import torch
import torch_step
from torch_group_cnn import TorchGroupCNN
from torch_planar import TorchPlainCNN, TorchResNet
from torch_view_net import TorchViewNet

from gzjax.models import network_input
from gzjax.ops.windows import output_size

TOLERANCE = 1e-4  # of outputs and losses, relative to the largest
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
NUM_LOSSES = 3  # of as many updates, compared where nothing is random

# The networks that exist in torch: (model of gzjax, config.view) → module.
NETWORKS = {
    "group_cnn": lambda model, view: TorchGroupCNN(
        model, output_size(view.size_px, model.windows())
    ),
    "view_net": lambda model, view: TorchViewNet(model, len(view.angles_deg)),
    "plain_cnn": lambda model, view: TorchPlainCNN(model),
    "resnet": lambda model, view: TorchResNet(model),
}


def exists(config) -> bool:
    """Returns whether the config's network and step exist in torch."""
    model = config.model
    planar = model.get("group", "p1") == "p1" or model.name == "group_cnn"
    plain = model.get("attention", "none") == "none"
    return model.name in NETWORKS and planar and plain and torch_step.exists(config)


class TorchStep:
    """The step of a copy of a torch network; a call makes updates and waits for them.

    Args:
        updates: in a call.
        layout: a key of ``LAYOUTS``.
        compiled: by ``torch.compile``.
    """

    def __init__(self, network, config, tree, batch, updates, layout, compiled):
        if timing.torch_device() == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32, as JAX by default
            torch.backends.cudnn.benchmark = True  # XLA tries algorithms, too
        self.network, self._updates = copy.deepcopy(network), updates
        self._step = torch_step.make_train_step(
            self.network, config, tree, LAYOUTS[layout], compiled
        )
        self._tensors = [
            timing.to_torch(batch[k]) for k in ("images", "colour", "targets")
        ]

    def __call__(self) -> torch.Tensor:
        for _ in range(self._updates):
            loss = self._step(*self._tensors)
        timing.wait_for_torch()
        return loss

    def peak_bytes(self) -> int:
        """Returns the peak memory of a step; see the module."""
        self.network.zero_grad(set_to_none=True)
        if timing.torch_device() == "cuda":
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            self()
            return torch.cuda.max_memory_allocated() - before
        cpu = torch.profiler.ProfilerActivity.CPU
        with torch.profiler.profile(activities=[cpu], profile_memory=True) as profile:
            self()
        events = profile.profiler.kineto_results.events()
        sizes = [
            (event.start_ns(), event.nbytes())
            for event in events
            if event.name() == "[memory]"
        ]
        return int(np.cumsum([size for _, size in sorted(sizes)]).max())


def make_network(config, model, variables: dict, others: dict):
    """Builds the same network in torch; returns also how far its outputs differ.

    Args:
        config: of the run.
        model: the network of gzjax.
        variables: its weights, which are loaded in the end.
        others: weights by which the outputs are compared.

    Raises:
        AssertionError: they differ by more than the tolerance.
    """
    network = NETWORKS[config.model.name](model, config.view)
    network.eval()  # still on the CPU: a GPU's convolutions round to TF32
    network.load(others)
    size, views = config.view.size_px, len(config.view.angles_deg)
    images = np.random.default_rng(1).uniform(size=(2, views, size, size, 3))
    images = images.astype(np.float32)
    exact = model.clone(compute_dtype=model.param_dtype)
    with jax.default_matmul_precision("highest"):
        program = jax.jit(lambda x: exact.apply(others, x, train=False))
        expected = np.asarray(program(network_input(model, images)))
    planes = np.moveaxis(images.reshape(-1, size, size, 3), 3, 1)
    with torch.no_grad():
        found = network(torch.tensor(planes)).numpy()
    difference = _check(found, expected)
    network.load(variables)
    return network.to(timing.torch_device()), difference


def _check(found: np.ndarray, expected: np.ndarray) -> float:
    difference = float(abs(found - expected).max() / abs(expected).max())
    assert difference <= TOLERANCE, difference
    return difference


def check_losses(config, step: Callable, twin: TorchStep) -> float | None:
    """Returns how far the losses of the next updates differ; None if random.

    Raises:
        AssertionError: they differ by more than the tolerance.
    """
    if timing.torch_device() != "cpu":  # both round to TF32
        return None
    fields = ("dropout_rate", "dropout_rates", "input_noise")
    if config.compute_dtype or np.any([np.any(config.model.get(f, 0)) for f in fields]):
        return None
    losses = [(float(twin()), float(step()[1])) for _ in range(NUM_LOSSES)]
    return _check(*np.transpose(losses))


def make_steps(
    network, config, tree, batch: dict, updates: int, compiled: bool = False
) -> dict[str, TorchStep]:
    """Makes the step in each layout, as "eager NCHW"; see :class:`TorchStep`."""
    kind = "compiled" if compiled else "eager"
    return {
        f"{kind} {layout}": TorchStep(
            network, config, tree, batch, updates, layout, compiled
        )
        for layout in LAYOUTS
    }


def compiler_error(steps: dict[str, TorchStep]) -> str | None:
    """Compiles the steps; says in a line what ``torch.compile`` lacks, if anything."""
    try:
        for step in steps.values():
            step()
    except torch._dynamo.exc.TorchDynamoException as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[0] if lines else type(error).__name__
    return None
