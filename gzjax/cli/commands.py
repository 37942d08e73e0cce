"""The commands: which function each calls, and with which flags.

A command X is the function X of its module, called with the flags by their names.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gzjax.training.run_files import DEFAULT

REQUIRED = object()


class Command(NamedTuple):
    """What the command line needs to know of a command.

    Attributes:
        module: holds the function.
        help: one line for ``--help``.
        flags: name → default or ``REQUIRED``; or a pair of that and words for
            ``--help`` which the value does not say.
        uses_jax: whether this process computes with JAX.
        joins: whether it runs in several processes that ``main`` joins; train joins
            them itself, after its config is read.
        reads_configs: whether it takes ``--config.KEY=VALUE``.
        resumes: whether the same command resumes one that was interrupted.
        counts_failures: whether it returns how many images or runs failed.
    """

    module: str
    help: str
    flags: Mapping[str, Any]
    uses_jax: bool = False
    joins: bool = False
    reads_configs: bool = False
    resumes: bool = False
    counts_failures: bool = False


PROCESSES = {  # flags of the commands that several processes can run together
    name: ("", f"GZJAX_{name.upper()}")
    for name in ("coordinator", "num_processes", "process_id", "local_devices")
}
_AVERAGING = "", "config.averaging"
_EVALUATED = {
    "data": ("", "as in training"),
    "pixel_scale": (None, "as in training"),
    "split": "valid",
    "checkpoint": "newest",
    "detections": ("", "named as in training"),
}
COMMANDS = {
    "train": Command(
        "gzjax.cli.train",
        "Trains or resumes, then scores the result on the validation split.",
        {
            "config": REQUIRED,
            "workdir": (None, "runs/CONFIG-VARIANT"),
            "init_from": "",
            "profile": None,
            **PROCESSES,
        },
        uses_jax=True,
        reads_configs=True,
    ),
    "evaluate": Command(
        "gzjax.evaluation.evaluate",
        "Scores a checkpoint; writes JSON and predictions into its workdir.",
        {"workdir": REQUIRED, "averaging": _AVERAGING, **_EVALUATED, **PROCESSES},
        uses_jax=True,
        joins=True,
    ),
    "calibrate": Command(
        "gzjax.evaluation.calibration.calibrate",
        "Lets predict tell unlike images, and give intervals; writes into the workdir.",
        {"workdir": REQUIRED, **_EVALUATED, "seed": 0},
        uses_jax=True,
    ),
    "ensemble": Command(
        "gzjax.evaluation.ensemble.ensemble",
        "Averages the predictions of several runs, scores every blend, writes one.",
        {
            "workdirs": (REQUIRED, "evaluated ones, or outputs of ensemble"),
            "label": "valid-none",
            "weights": "uniform",
            "output": ("", "runs/ensemble"),
            "apply": "",
        },
    ),
    "predict": Command(
        "gzjax.prediction.predict",
        "Classifies images without votes: a table for science, or a submission.",
        {
            "workdirs": (
                (DEFAULT,),
                f"{DEFAULT}, the network of the package; several are averaged; or one "
                "output of ensemble",
            ),
            "images": REQUIRED,
            "output": (REQUIRED, "a .csv; a table also .parquet or .ecsv"),
            "kind": ("table", "table; also submission, for Kaggle, and embeddings"),
            "averaging": _AVERAGING,
            "pixel_scale": (None, "each image spans the challenge's 424 px frame"),
            "stretch": "asinh",
            "shard": "",
            "checkpoint": "newest",
            "num_workers": (0, "threads of this process"),
            "dtype": ("", "config.compute_dtype"),
        },
        uses_jax=True,
        resumes=True,
        counts_failures=True,
    ),
    "models": Command(
        "gzjax.prediction.models",
        "Lists the trained networks that come with the package.",
        {},
    ),
    "merge": Command(
        "gzjax.prediction.merge",
        "Joins what the shards of predict made.",
        {"output": (REQUIRED, "as given to predict")},
        counts_failures=True,
    ),
    "export": Command(
        "gzjax.prediction.export",
        "Writes a trained network as one program that needs only JAX, or its weights.",
        {
            "workdir": REQUIRED,
            "output": (REQUIRED, "the program, or a folder for safetensors"),
            "kind": ("program", "program, a file; also safetensors, a folder"),
            "averaging": _AVERAGING,
            "size_px": (None, "424, or less for a run on smaller images"),
            "checkpoint": "newest",
        },
        uses_jax=True,
    ),
    "robustness": Command(
        "gzjax.evaluation.robustness",
        "Compares runs: how far their answers move when the galaxy is turned.",
        {
            "workdirs": REQUIRED,
            "reference": ("", "the first"),
            "step_deg": 15.0,
            "num_galaxies": (None, "all"),
            "averaging": "none",
            "output": ("", "runs/robustness"),
            **_EVALUATED,
            **PROCESSES,
        },
        uses_jax=True,
        joins=True,
    ),
    "equivariance": Command(
        "gzjax.evaluation.equivariance.equivariance",
        "Names the layer of a network that loses its equivariance, and what mends it.",
        {
            "workdir": (None, "or --config"),
            "config": ("", "or --workdir; untrained"),
            "angles_deg": ((22.5, 45.0, 90.0, 180.0), "22.5,45,90,180"),
            "zooms": ((1.1,), "1.1"),
            "shifts_px": ((8.0,), "8"),
            "num_galaxies": 64,
            "seeds": 1,
            **_EVALUATED,
            "output": ("", "WORKDIR, or runs/equivariance/CONFIG"),
        },
        uses_jax=True,
        reads_configs=True,
    ),
    "compare": Command(
        "gzjax.evaluation.compare.compare",
        "Trains several configs under one budget; one table of their scores.",
        {
            "configs": REQUIRED,
            "num_images": 12_800,
            "batch_size": 32,
            "seeds": 1,
            "averaging": "d4",
            "data": ("", "as in the configs"),
            "pixel_scale": (None, "as in the configs"),
            "output": ("", "runs/compare"),
        },
        uses_jax=True,
        reads_configs=True,
        resumes=True,
        counts_failures=True,
    ),
    "report": Command(
        "gzjax.evaluation.report.report",
        "Writes one HTML page about runs: scores, curves, galaxies, activation maps.",
        {
            "workdirs": (REQUIRED, "evaluated ones"),
            "label": "valid-none",
            "robustness": "",
            "output": "report.html",
            "cam_layer": ("", "the second"),
            "cam_answers": ((), "the first question's, and spiral arms"),
            "data": ("", "as in the evaluation"),
            "pixel_scale": (None, "as in training"),
        },
        uses_jax=True,
    ),
    "detect": Command(
        "gzjax.data.detections.detect",
        "Finds the galaxy in every image: the table that :centred configs need.",
        {
            "data": ("", "GZJAX_DATA"),
            "threshold": 2.0,
            "pixel_scale": 1.0,
            "output": (None, "DATA/detections-THRESHOLD.csv"),
            "num_workers": (None, "one per CPU core"),
        },
        resumes=True,
    ),
    "prepare": Command(
        "gzjax.data.prepared.prepare",
        "Packs a download into a few files that are quick to read; verifies them.",
        {
            "data": ("", "GZJAX_DATA"),
            "output": (REQUIRED, "a folder, which is read as data.dir"),
            "tree": "gz2",
            "kind": (
                "jpeg",
                "jpeg, the files unchanged; also pixels, decoded, for hosts with few "
                "cores and room for some ten times the bytes",
            ),
            "pixel_scale": 1.0,
            "decode_scale": (None, "2 for pixels"),
            "num_workers": (None, "one per CPU core"),
            "verify": False,
        },
        resumes=True,
        counts_failures=True,
    ),
    "synthesize": Command(
        "gzjax.data.synthetic.synthesize",
        "Writes synthetic galaxies as a folder like the challenge's, or a survey's.",
        {
            "output": (REQUIRED, "a folder"),
            "num_galaxies": 4000,
            "seed": 0,
            "size_px": 424,
            "tree": "gz2",
        },
    ),
}
