"""Seconds of a data-parallel step on n devices, from bytes, FLOP and given rates.

    t(n) = compute + (1 - overlap) * sum over all-reduces of c(bytes, n)
    c    = the cheaper of a ring,  2 (n-1)/n * bytes / rate + 2 (n-1) * latency,
           and a tree,             2 log2(n) * (bytes / rate + latency)

Rate and latency are those between hosts as soon as there are two. Weak scaling gives
each device as many images whatever their number, strong scaling shares a batch.
Left out: that a device with few images computes more slowly, stragglers, input, and
other traffic on the links.
"""

import dataclasses
import math
from collections.abc import Sequence

PREDICTED_FOR = (8, 64, 512)
MOST = 4096  # devices that are looked at


@dataclasses.dataclass(frozen=True)
class Rates:
    """What is given.

    Attributes:
        flops: that a device achieves, in FLOP/s.
        within: bytes/s between devices of a host, per device and direction.
        across: bytes/s between hosts, likewise.
        latency_within: seconds per message in a host.
        latency_across: seconds per message between hosts.
        devices_per_host: that share the fast links.
        overlap: share of the all-reduces' time that is hidden behind computing.
    """

    flops: float
    within: float
    across: float
    latency_within: float
    latency_across: float
    devices_per_host: int
    overlap: float


@dataclasses.dataclass(frozen=True)
class Step:
    """A training step, as compiled.

    Attributes:
        flops_per_image: of the forward and backward pass.
        all_reduces: bytes of each.
    """

    flops_per_image: float
    all_reduces: tuple[int, ...]


def all_reduce_seconds(num_bytes: int, num_devices: int, rates: Rates) -> float:
    """c of the module's docstring; 0 on one device."""
    n = num_devices
    if n == 1:
        return 0.0
    alone = n <= rates.devices_per_host
    rate = rates.within if alone else rates.across
    latency = rates.latency_within if alone else rates.latency_across
    ring = 2 * (n - 1) / n * num_bytes / rate + 2 * (n - 1) * latency
    tree = 2 * math.ceil(math.log2(n)) * (num_bytes / rate + latency)
    return min(ring, tree)


def step_seconds(step: Step, images: float, num_devices: int, rates: Rates) -> float:
    """Of one step with so many images on each device."""
    sent = sum(all_reduce_seconds(b, num_devices, rates) for b in step.all_reduces)
    computing = images * step.flops_per_image / rates.flops
    return computing + (1 - rates.overlap) * sent


def weak_efficiency(step: Step, images: int, num_devices: int, rates: Rates) -> float:
    """Images per second and device, relative to one device alone."""
    alone = step_seconds(step, images, 1, rates)
    return alone / step_seconds(step, images, num_devices, rates)


def strong_efficiency(step: Step, batch: int, num_devices: int, rates: Rates) -> float:
    """The same of a batch of ``batch`` images that the devices share; 0: too few."""
    if num_devices > batch:
        return 0.0
    shared = step_seconds(step, batch / num_devices, num_devices, rates)
    return step_seconds(step, batch, 1, rates) / (num_devices * shared)


def pays_up_to(efficiencies: Sequence[tuple[int, float]], least: float) -> int:
    """The last number of devices before the efficiency falls below ``least``.

    Args:
        efficiencies: (number of devices, efficiency), ascending, from 1 device on.
        least: in (0, 1].
    """
    last = 1
    for num_devices, efficiency in efficiencies:
        if efficiency < least:
            break
        last = num_devices
    return last


def predict(result: dict, rates: Rates, images: int, batch: int, least: float) -> dict:
    """Efficiencies and where it stops paying, with each kind of scaling.

    Args:
        result: of :func:`compiled_step.measure`, for one device first.
        rates: given.
        images: on each device, of weak scaling.
        batch: images in all, of strong scaling.
        least: the efficiency that pays.
    """
    first, last = result["compiled"][0], result["compiled"][-1]
    step = Step(first["gflop_per_image"] * 1e9, tuple(last["all_reduces"]))
    counts = [2**i for i in range(MOST.bit_length())]
    predicted = {}
    for kind, of, size in (
        ("weak", weak_efficiency, images),
        ("strong", strong_efficiency, batch),
    ):
        found = {n: of(step, size, n, rates) for n in (*counts, *PREDICTED_FOR)}
        largest = pays_up_to([(n, found[n]) for n in counts], least)
        one = size / step_seconds(step, size, 1, rates)
        predicted[kind] = {
            "efficiency": {str(n): found[n] for n in PREDICTED_FOR},
            "pays_up_to": largest,
            "images_per_sec": one * largest * found[largest],
        }
    return predicted
