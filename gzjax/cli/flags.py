"""The flags of all commands: each is declared and explained once."""

import argparse
from pathlib import Path
from typing import Any

from gzjax import __version__
from gzjax.cli.commands import COMMANDS, REQUIRED, Command


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(",") if number)


class _Words(argparse.Action):
    """Takes several words, whether a shell parted them or not."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, " ".join(values).split())


# Name → what argparse is told; the defaults are in the table of commands.
FLAGS: dict[str, dict[str, Any]] = {
    "angles_deg": {"type": numbers, "metavar": "A,B,...", "help": "turns in degrees"},
    "apply": {"help": "label of more predictions to blend with the same weights"},
    "averaging": {
        "help": "test-time augmentation: none, c4, d4, half2, third3, rot16x2, "
        "dieleman60 or rotANGLESxMIRRORS[xZOOM,...]"
    },
    "batch_size": {"type": int, "help": "batch size of all runs"},
    "cam_answers": {
        "type": _names,
        "metavar": "Q.A,...",
        "help": "answers with activation maps, for example bar.yes,odd.yes",
    },
    "cam_layer": {"help": "layer of the activation maps, or none"},
    "checkpoint": {"help": "newest, best or a step"},
    "config": {
        "metavar": "CONFIG[:VARIANT]",
        "help": "a config of the package, for example p4m or p4m:small (a wrong name "
        "lists them), or a file; --config.KEY=VALUE changes a key",
    },
    "configs": {
        "nargs": "+",
        "action": _Words,
        "metavar": "CONFIG[:VARIANT]",
        "help": "configs as for train; --config.KEY=VALUE changes a key of all",
    },
    "coordinator": {
        "metavar": "HOST:PORT",
        "help": "address of process 0, for a run of several processes",
    },
    "data": {"help": "folder of the images and their labels"},
    "decode_scale": {"type": int, "help": "1, 2, 4 or 8: shrinks decoded pixels"},
    "detections": {"help": "table of detections in these images, for :centred runs"},
    "dtype": {
        "help": "type of convolutions and dense layers: float32, or bfloat16 for GPUs "
        "and TPUs; CPUs are slower in it"
    },
    "images": {"help": "a folder, a .zip, or a .csv with paths"},
    "init_from": {
        "help": "starting weights: a run's folder or export, .safetensors or .pth"
    },
    "kind": {"help": "what to write"},
    "label": {"help": "evaluation to read, as in predictions-LABEL.csv"},
    "local_devices": {
        "metavar": "0,1",
        "help": "GPUs that this process uses, among those it sees",
    },
    "num_galaxies": {"type": int, "help": "number of galaxies"},
    "num_images": {"type": int, "help": "training images that each run sees"},
    "num_processes": {"metavar": "N", "help": "number of processes"},
    "num_workers": {"type": int, "help": "processes that load images"},
    "output": {"help": "path to write"},
    "pixel_scale": {"type": float, "help": "original pixels per pixel of the images"},
    "process_id": {"metavar": "I", "help": "number of this process, from 0"},
    "profile": {
        "nargs": "?",
        "const": "",
        "metavar": "DIR",
        "help": "write a trace of a few steps to DIR, or to WORKDIR/profile",
    },
    "reference": {"help": "run to compare the others with"},
    "robustness": {"help": "output folder of the robustness command"},
    "seed": {"type": int, "help": "random seed"},
    "seeds": {"type": int, "help": "runs, or untrained networks, of each config"},
    "shard": {"help": "share of the images: 2/8; env or env/8 in a SLURM array"},
    "shifts_px": {
        "type": numbers,
        "metavar": "X,Y,...",
        "help": "shifts to the right in original px",
    },
    "size_px": {"type": int, "help": "side of an image in pixels"},
    "split": {"help": "train, valid, test or all"},
    "step_deg": {"type": float, "help": "degrees between angles"},
    "stretch": {
        "help": "brightness scale of FITS images: asinh, linear or log, or "
        "KIND:LOW:HIGH:SOFTENING"
    },
    "threshold": {"type": float, "help": "detection threshold in sigma, 2 or 10"},
    "tree": {"help": "decision tree: gz2, or a .json file"},
    "verify": {"action": "store_true", "help": "only check OUTPUT; needs no data"},
    "weights": {"help": "weights of the blend to write: uniform, model or answer"},
    "workdir": {"type": Path, "help": "folder of a training run"},
    "workdirs": {
        "type": _names,
        "metavar": "A,B,...",
        "help": "folders of runs",
    },
    "zooms": {
        "type": numbers,
        "metavar": "X,Y,...",
        "help": "factors by which the image is enlarged",
    },
}


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line; ``args.command`` is the chosen name."""
    parser = argparse.ArgumentParser(
        prog="gzjax",
        description="Galaxy morphology from images. MODE is train if left out.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gzjax {__version__}")
    subparsers = parser.add_subparsers(metavar="MODE", dest="command", required=True)
    for name, command in COMMANDS.items():
        sub = subparsers.add_parser(
            name, help=command.help, description=command.help, allow_abbrev=False
        )
        _add_flags(sub, command)
    return parser


def _add_flags(parser: argparse.ArgumentParser, command: Command) -> None:
    for name, default in command.flags.items():
        options = dict(FLAGS[name])
        default, words = default if isinstance(default, tuple) else (default, "")
        if default is REQUIRED:
            options["required"] = True
            options["help"] += f": {words}" if words else ""
        else:
            options["default"] = default
            if not words and default is not False and default not in ("", None):
                words = default
            options["help"] += f" (default: {words})" if words != "" else ""
        # "--workdir" reads better with one run.
        names = [f"--{name}", *["--workdir"] * (name == "workdirs")]
        parser.add_argument(*names, **options)
