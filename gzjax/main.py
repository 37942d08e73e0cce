"""The command line: flags and dispatch only."""

# Loader processes import this module again, and --help should not wait for JAX:
# everything heavy is imported on use.
import argparse
import shlex
import sys
from pathlib import Path

from gzjax.errors import UserError
from gzjax.host_memory import keep_freed_memory

# Exit code: all is written, but some images have no prediction, or some runs failed.
SOME_FLAGGED = 3
_AVERAGING = "none, c4, d4, rot16x2, dieleman60 or rotANGLESxMIRRORS[xZOOM,...]"


def train(args) -> None:
    """Trains or resumes, then scores the result on the validation split."""
    from gzjax.config_args import load_config, run_name

    config = load_config(args.config, args.overrides)
    workdir = args.workdir or Path("runs", run_name(args.config))

    keep_freed_memory()
    from gzjax.train import train_and_evaluate

    train_and_evaluate(config, workdir)


def evaluate(args) -> None:
    """Scores a checkpoint; writes JSON and predictions into its workdir."""
    keep_freed_memory()
    from gzjax.evaluate import evaluate

    evaluate(
        args.workdir,
        args.data,
        args.pixel_scale,
        args.averaging,
        args.split,
        args.checkpoint,
        args.detections,
    )


def ensemble(args) -> None:
    """Averages the predictions of several runs, scores every blend, writes one."""
    from gzjax.ensemble import ensemble

    ensemble(_names(args.workdirs), args.label, args.weights, args.output, args.apply)


def predict(args) -> int:
    """Predicts images without votes: a submission, or a table for science."""
    keep_freed_memory()
    from gzjax.predict_images import predict_images

    return _exit_code(
        predict_images(
            _names(args.workdirs),
            args.images,
            args.output,
            args.kind,
            args.averaging,
            args.where,
            args.pixel_scale,
            args.stretch,
            args.shard,
            args.checkpoint,
            args.num_workers,
        )
    )


def merge(args) -> int:
    """Joins the parts that shards of predict made."""
    from gzjax.merge import merge

    return _exit_code(merge(args.output))


def _exit_code(num_flagged: int) -> int:
    return SOME_FLAGGED if num_flagged else 0


def robustness(args) -> None:
    """Compares runs: how far their answers move when the galaxy is turned."""
    keep_freed_memory()
    from gzjax.robustness import robustness

    robustness(
        _names(args.workdirs),
        args.reference,
        args.step_deg,
        args.data,
        args.pixel_scale,
        args.split,
        args.checkpoint,
        args.output,
        args.detections,
    )


def compare(args) -> int:
    """Trains several configs under one budget; one table of their scores."""
    keep_freed_memory()
    from gzjax.compare import compare

    return _exit_code(
        compare(
            " ".join(args.configs).split(),
            args.output,
            args.num_images,
            args.batch_size,
            args.seeds,
            args.averaging,
            args.data,
            args.pixel_scale,
            args.overrides,
        )
    )


def report(args) -> None:
    """Writes one HTML page about runs: scores, curves, galaxies, activation maps."""
    keep_freed_memory()
    from gzjax.report_runs import report

    report(
        _names(args.workdirs),
        args.label,
        args.robustness,
        args.output,
        args.cam_layer,
        _names(args.cam_answers),
        args.data,
        args.pixel_scale,
    )


def detect(args) -> None:
    """Finds the galaxy in every image: the table that ``:centred`` configs need."""
    from gzjax.data import data_folder
    from gzjax.data.detect import detect

    folder = data_folder(args.data)
    detect(folder, args.threshold, args.pixel_scale, args.output, args.num_workers)


def synthesize(args) -> None:
    """Writes synthetic galaxies as a folder like the challenge's, or a survey's."""
    from gzjax.data.synthetic import SyntheticSource, write_folder
    from gzjax.progress import Progress, say
    from gzjax.trees.tree_file import find_tree

    source = SyntheticSource(
        args.num_galaxies, args.seed, args.size_px, tree=find_tree(args.tree)
    )
    with Progress("drawing galaxies", args.num_galaxies) as bar:
        write_folder(source, args.output, progress=lambda done, _: bar.update(done))
    say(
        f"{args.output}: {args.num_galaxies} galaxies of {args.size_px} px; train on "
        f"them with\n  {_training_command(source, args)}"
    )


def _training_command(source, args) -> str:
    from gzjax.data.synthetic import folder_layout
    from gzjax.trees import GZ2

    data = {"dir": args.output, "pixel_scale": f"{source.pixel_scale:g}"}
    command = ["python", "-m", "gzjax.main", "--config=configs/p4m.py:small"]
    if source.tree != GZ2:
        labels, images, _ = folder_layout(source.tree)
        data |= {"kind": "survey", "labels": labels, "images": images}
        command.append(f"--config.tree={args.tree}")
    return shlex.join(
        [*command, *(f"--config.data.{key}={value}" for key, value in data.items())]
    )


def _names(workdirs: str) -> list[str]:
    return [workdir for workdir in workdirs.split(",") if workdir]


def make_parser() -> argparse.ArgumentParser:
    """One subcommand per mode; the first line of its docstring is its help."""
    parser = argparse.ArgumentParser(
        prog="python -m gzjax.main",
        description="Galaxy morphology from images. MODE is train if left out.",
        allow_abbrev=False,
    )
    modes = parser.add_subparsers(metavar="MODE", required=True)

    def add(mode):
        sub = modes.add_parser(
            mode.__name__,
            help=mode.__doc__,
            description=mode.__doc__,
            allow_abbrev=False,
        )
        sub.set_defaults(mode=mode)
        return sub.add_argument

    flag = add(train)
    flag(
        "--config",
        required=True,
        metavar="FILE[:VARIANT]",
        help="for example configs/p4m.py; change a key with --config.KEY=VALUE",
    )
    flag("--workdir", type=Path, help="the run's folder (runs/CONFIG-VARIANT)")

    flag = add(evaluate)
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

    flag = add(ensemble)
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

    flag = add(predict)
    flag("--workdirs", "--workdir", required=True, metavar="A,B,...",
         help="training runs, to be averaged, or one output of ensemble")  # fmt: skip
    flag("--images", required=True, help="a folder, a .zip, or a .csv with paths")
    flag("--output", type=Path, required=True, help=".csv; tables: .parquet, .ecsv too")
    flag("--kind", default="submission", help="submission or table (%(default)s)")
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

    flag = add(merge)
    flag("--output", type=Path, required=True, help="as given to predict")

    flag = add(robustness)
    flag("--workdirs", required=True, metavar="A,B,...", help="of training runs")
    flag("--reference", default="", help="the run to compare with (the first)")
    flag("--step_deg", type=float, default=15.0, help="between angles (%(default)s)")
    flag("--data", default="", help="another folder like the one trained on")
    flag("--pixel_scale", type=float, help="of these images (as in training)")
    flag("--split", default="valid", help="train, valid, test or all (%(default)s)")
    flag("--checkpoint", default="newest", help="newest, best or a step (%(default)s)")
    flag("--output", default="", help="folder to write to (runs/robustness)")
    flag("--detections", default="", help="a :centred run's table for these images")

    flag = add(compare)
    flag("--configs", required=True, nargs="+", metavar="FILE[:VARIANT]",
         help="as for train; variants with commas, configs with spaces")  # fmt: skip
    flag("--num_images", type=int, default=12_800, help="each run sees (%(default)s)")
    flag("--batch_size", type=int, default=32, help="of all runs (%(default)s)")
    flag("--seeds", type=int, default=1, help="runs of each config (%(default)s)")
    flag("--averaging", default="d4", help=f"{_AVERAGING} (%(default)s)")
    flag("--data", default="", help="folder of the challenge download (the configs')")
    flag("--pixel_scale", type=float, help="original px per px (the configs')")
    flag("--output", default="", help="folder of runs and table (runs/compare)")

    flag = add(report)
    flag("--workdirs", required=True, metavar="A,B,...", help="evaluated runs")
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

    flag = add(detect)
    flag("--data", default="", help="folder of the challenge download (GZJAX_DATA)")
    flag("--threshold", type=float, default=2.0, help="in sigma; 2 or 10 (%(default)s)")
    flag("--pixel_scale", type=float, default=1.0, help="original px per px (1)")
    flag("--output", help="the table (DATA/detections-THRESHOLD.csv)")
    flag("--num_workers", type=int, help="processes (one per CPU)")

    flag = add(synthesize)
    flag("--output", type=Path, required=True, help="folder to make")
    flag("--num_galaxies", type=int, default=4000, help="(%(default)s)")
    flag("--seed", type=int, default=0, help="(%(default)s)")
    flag("--size_px", type=int, default=424, help="of an image (%(default)s)")
    flag("--tree", default="gz2", help="gz2, or a .json file (%(default)s)")
    return parser


def main(argv: list[str]) -> int:
    """Runs one command; returns its exit code."""
    overrides = [a for a in argv if a.startswith("--config.")]
    rest = [a for a in argv if not a.startswith("--config.")]
    if rest and rest[0].startswith("--") and rest[0] != "--help":
        rest.insert(0, "train")
    args = make_parser().parse_args(rest)
    try:
        if overrides and args.mode not in (train, compare):
            raise UserError(f"{overrides[0]}: only train and compare read configs")
        args.overrides = overrides
        return args.mode(args) or 0
    except UserError as error:
        print(f"gzjax: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # no space, no permission, a file for a folder ...
        print(f"gzjax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resumable = args.mode in (detect, predict, compare)
        hint = ": the same command goes on where it stopped" if resumable else ""
        print(f"gzjax: interrupted{hint}", file=sys.stderr)
        return 130


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
