"""The flags of every mode; nothing here imports what a mode needs."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gzjax import __version__

PROCESSES = [  # of a run of several: flag, what it takes, help
    ("coordinator", "HOST:PORT", "of several processes: where process 0 listens"),
    ("num_processes", "N", "how many there are"),
    ("process_id", "I", "which one this is, from 0"),
    ("local_devices", "0,1", "the GPUs that it takes, of those it sees"),
]
_AVERAGING = "none, c4, d4, rot16x2, dieleman60 or rotANGLESxMIRRORS[xZOOM,...]"


def make_parser(modes: list[Callable]) -> argparse.ArgumentParser:
    """One subcommand per mode; the first line of its docstring is its help.

    Args:
        modes: functions with the names of those below; the chosen one is ``args.mode``.
    """
    parser = argparse.ArgumentParser(
        prog="gzjax",
        description="Galaxy morphology from images. MODE is train if left out.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gzjax {__version__}")
    subparsers = parser.add_subparsers(metavar="MODE", required=True)
    for mode in modes:
        sub = subparsers.add_parser(
            mode.__name__,
            help=mode.__doc__,
            description=mode.__doc__,
            allow_abbrev=False,
        )
        sub.set_defaults(mode=mode)
        FLAGS[mode.__name__](sub.add_argument)
    return parser


def _processes(flag):
    for name, metavar, text in PROCESSES:
        flag(
            f"--{name}",
            default="",
            metavar=metavar,
            help=f"{text} (GZJAX_{name.upper()})",
        )


def _train(flag):
    flag(
        "--config",
        required=True,
        metavar="CONFIG[:VARIANT]",
        help="p4m, p4m:small or another of the package (a wrong name lists them), or "
        "a file: configs/p4m.py; --config.KEY=VALUE changes a key",
    )
    flag("--workdir", type=Path, help="the run's folder (runs/CONFIG-VARIANT)")
    flag(
        "--init_from",
        default="",
        help="weights: a run's folder or export, .safetensors, .pth",
    )
    flag("--profile", nargs="?", const="", metavar="DIR",
         help="write a trace of a few steps to DIR (WORKDIR/profile)")  # fmt: skip
    _processes(flag)


def _evaluate(flag):
    flag("--workdir", type=Path, required=True, help="of a training run")
    flag("--data", default="", help="another folder like the one trained on")
    flag(
        "--pixel_scale",
        type=float,
        help="original px per px of these images (as in training)",
    )
    flag("--averaging", default="", help=f"{_AVERAGING} (config.averaging)")
    flag("--split", default="valid", help="train, valid, test or all (%(default)s)")
    flag("--checkpoint", default="newest", help="newest, best or a step (%(default)s)")
    flag("--detections", default="", help="a :centred run's table for these images")
    _processes(flag)


def _ensemble(flag):
    flag(
        "--workdirs", required=True, metavar="A,B,...", help="evaluated runs or blends"
    )
    flag(
        "--label",
        default="valid-none",
        help="which predictions: predictions-LABEL.csv (%(default)s)",
    )
    flag("--weights", default="uniform", help="uniform, model or answer (%(default)s)")
    flag("--output", default="", help="folder to write to (runs/ensemble)")
    flag("--apply", default="", help="another label, to be blended likewise")


def _predict(flag):
    flag("--workdirs", "--workdir", required=True, metavar="A,B,...",
         help="training runs, to be averaged, or one output of ensemble")  # fmt: skip
    flag("--images", required=True, help="a folder, a .zip, or a .csv with paths")
    flag("--output", type=Path, required=True, help=".csv; tables: .parquet, .ecsv too")
    flag("--kind", default="submission",
         help="submission, table or embeddings (%(default)s)")  # fmt: skip
    flag("--averaging", default="", help=f"{_AVERAGING} (config.averaging)")
    flag("--where", default="", help='rows of a table: "bar_yes_fraction > 0.6"')
    flag(
        "--pixel_scale",
        type=float,
        help="original px per px (each image spans the challenge's 424 px frame)",
    )
    flag("--stretch", default="asinh", help="of FITS: KIND:LOW:HIGH:SOFT (%(default)s)")
    flag("--shard", default="", help="2/8, or env in a SLURM array, env/8 elsewhere")
    flag("--checkpoint", default="newest", help="newest, best or a step (%(default)s)")
    flag("--num_workers", type=int, default=0, help="loader processes (threads)")


def _merge(flag):
    flag("--output", type=Path, required=True, help="as given to predict")


def _export(flag):
    flag("--workdir", type=Path, required=True, help="of a training run")
    flag("--output", type=Path, required=True, help="a file; safetensors: a folder")
    flag("--kind", default="program", help="program or safetensors (%(default)s)")
    flag("--averaging", default="", help=f"{_AVERAGING} (config.averaging)")
    flag("--size_px", type=int, help="of the program's images (424)")
    flag("--checkpoint", default="newest", help="newest, best or a step (%(default)s)")


def _robustness(flag):
    flag("--workdirs", "--workdir", required=True, metavar="A,B,...",
         help="of training runs")  # fmt: skip
    flag("--reference", default="", help="the run to compare with (the first)")
    flag("--step_deg", type=float, default=15.0, help="between angles (%(default)s)")
    flag("--data", default="", help="another folder like the one trained on")
    flag("--pixel_scale", type=float, help="of these images (as in training)")
    flag("--split", default="valid", help="train, valid, test or all (%(default)s)")
    flag("--checkpoint", default="newest", help="newest, best or a step (%(default)s)")
    flag("--output", default="", help="folder to write to (runs/robustness)")
    flag("--detections", default="", help="a :centred run's table for these images")
    _processes(flag)


def _compare(flag):
    flag("--configs", required=True, nargs="+", metavar="CONFIG[:VARIANT]",
         help="as for train, with spaces; --config.KEY=VALUE changes all")  # fmt: skip
    flag("--num_images", type=int, default=12_800, help="each run sees (%(default)s)")
    flag("--batch_size", type=int, default=32, help="of all runs (%(default)s)")
    flag("--seeds", type=int, default=1, help="runs of each config (%(default)s)")
    flag("--averaging", default="d4", help=f"{_AVERAGING} (%(default)s)")
    flag("--data", default="", help="folder of the challenge download (the configs')")
    flag("--pixel_scale", type=float, help="original px per px (the configs')")
    flag("--output", default="", help="folder of runs and table (runs/compare)")


def _report(flag):
    flag("--workdirs", "--workdir", required=True, metavar="A,B,...",
         help="evaluated runs")  # fmt: skip
    flag("--label", default="valid-none", help="which evaluation (%(default)s)")
    flag("--robustness", default="", help="output folder of the robustness study")
    flag("--output", default="report.html", help="the page (%(default)s)")
    flag("--cam_layer", default="", help="of activation maps, or none (the second)")
    flag(
        "--cam_answers",
        default="",
        metavar="Q.A,...",
        help="as bar.yes,odd.yes (the first question's, and spiral arms)",
    )
    flag("--data", default="", help="folder of the images (where evaluate found them)")
    flag("--pixel_scale", type=float, help="of these images (as in training)")


def _detect(flag):
    flag("--data", default="", help="folder of the challenge download (GZJAX_DATA)")
    flag("--threshold", type=float, default=2.0, help="in sigma; 2 or 10 (%(default)s)")
    flag("--pixel_scale", type=float, default=1.0, help="original px per px (1)")
    flag("--output", help="the table (DATA/detections-THRESHOLD.csv)")
    flag("--num_workers", type=int, help="processes (one per CPU)")


def _prepare(flag):
    flag("--data", default="", help="folder of the challenge download (GZJAX_DATA)")
    flag("--output", type=Path, required=True, help="folder to make; read as data.dir")
    flag(
        "--kind",
        default="jpeg",
        help="jpeg: the files as they are; pixels: decoded once and for all, for hosts "
        "with few cores, at some ten times the bytes (%(default)s)",
    )
    flag("--pixel_scale", type=float, default=1.0, help="original px per px (1)")
    flag("--decode_scale", type=int, help="pixels: 1, 2, 4 or 8 times smaller (2)")
    flag("--tree", default="gz2", help="of the labels: gz2, or a .json (%(default)s)")
    flag("--num_workers", type=int, help="processes (one per CPU)")
    flag("--verify", action="store_true", help="only read OUTPUT again; needs no data")


def _synthesize(flag):
    flag("--output", type=Path, required=True, help="folder to make")
    flag("--num_galaxies", type=int, default=4000, help="(%(default)s)")
    flag("--seed", type=int, default=0, help="(%(default)s)")
    flag("--size_px", type=int, default=424, help="of an image (%(default)s)")
    flag("--tree", default="gz2", help="gz2, or a .json file (%(default)s)")


FLAGS = {
    "train": _train,
    "evaluate": _evaluate,
    "ensemble": _ensemble,
    "predict": _predict,
    "merge": _merge,
    "export": _export,
    "robustness": _robustness,
    "compare": _compare,
    "report": _report,
    "detect": _detect,
    "prepare": _prepare,
    "synthesize": _synthesize,
}
