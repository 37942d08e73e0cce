"""What each command does with its arguments.

Everything heavy is imported on use: ``--help`` should not wait for JAX, nor loader
processes, which import the main module again.
"""

import shlex
from pathlib import Path

from gzjax.cli.flags import PROCESSES
from gzjax.cli.host_memory import keep_freed_memory

# Exit code: all is written, but some images are left out, or some runs failed.
SOME_FLAGGED = 3


def train(args) -> None:
    """Trains or resumes, then scores the result on the validation split."""
    from gzjax.training.load_config import load_config, run_name, say_which_config

    given = [f"--config.init_from={args.init_from}"] if args.init_from else []
    config = load_config(args.config, [*args.overrides, *given])
    workdir = args.workdir or Path("runs", run_name(args.config))

    keep_freed_memory()
    from gzjax.cli.join import joined
    from gzjax.evaluation.evaluate import train_and_evaluate

    with joined(**_processes(args)):
        say_which_config(args.config)
        train_and_evaluate(config, workdir, args.profile)


def evaluate(args) -> None:
    """Scores a checkpoint; writes JSON and predictions into its workdir."""
    keep_freed_memory()
    from gzjax.cli.join import joined
    from gzjax.evaluation.evaluate import evaluate

    with joined(**_processes(args)):
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
    from gzjax.evaluation.ensemble.ensemble import ensemble

    ensemble(_names(args.workdirs), args.label, args.weights, args.output, args.apply)


def predict(args) -> int:
    """Predicts images without votes: a submission, or a table for science."""
    keep_freed_memory()
    from gzjax.prediction.predict import predict_images

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
    from gzjax.prediction.merge import merge

    return _exit_code(merge(args.output))


def export(args) -> None:
    """Hands a trained network on: one program that needs only JAX, or its weights."""
    keep_freed_memory()
    from gzjax.prediction.export import export

    export(
        args.workdir,
        args.output,
        args.kind,
        args.averaging,
        args.size_px,
        args.checkpoint,
    )


def _exit_code(num_flagged: int) -> int:
    return SOME_FLAGGED if num_flagged else 0


def robustness(args) -> None:
    """Compares runs: how far their answers move when the galaxy is turned."""
    keep_freed_memory()
    from gzjax.cli.join import joined
    from gzjax.evaluation.robustness import robustness

    with joined(**_processes(args)):
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
    from gzjax.evaluation.compare.compare import compare

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
    from gzjax.evaluation.report.report import report

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
    from gzjax.data.detections.detect import detect

    folder = data_folder(args.data)
    detect(folder, args.threshold, args.pixel_scale, args.output, args.num_workers)


def prepare(args) -> int:
    """Packs a download into a few files that are quick to read; verifies them."""
    from gzjax.data import data_folder
    from gzjax.data.prepared.prepare import prepare, verify_set
    from gzjax.trees.tree_file import find_tree

    if args.verify:
        verify_set(args.output)
        return 0
    return _exit_code(
        prepare(
            data_folder(args.data),
            args.output,
            find_tree(args.tree),
            args.kind,
            args.pixel_scale,
            args.decode_scale,
            args.num_workers,
        )
    )


def synthesize(args) -> None:
    """Writes synthetic galaxies as a folder like the challenge's, or a survey's."""
    from gzjax.data.synthetic.folder import write_folder
    from gzjax.data.synthetic.source import SyntheticSource
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
    from gzjax.data.synthetic.folder import folder_layout
    from gzjax.trees import GZ2

    data = {"dir": args.output, "pixel_scale": f"{source.pixel_scale:g}"}
    command = ["python", "-m", "gzjax.main", "--config=p4m:small"]
    if source.tree != GZ2:
        labels, images, _ = folder_layout(source.tree)
        data |= {"kind": "survey", "labels": labels, "images": images}
        command.append(f"--config.tree={args.tree}")
    return shlex.join(
        [*command, *(f"--config.data.{key}={value}" for key, value in data.items())]
    )


def _processes(args) -> dict[str, str]:
    return {name: getattr(args, name) for name, *_ in PROCESSES}


def _names(workdirs: str) -> list[str]:
    return [workdir for workdir in workdirs.split(",") if workdir]


MODES = [
    train,
    evaluate,
    ensemble,
    predict,
    merge,
    export,
    robustness,
    compare,
    report,
    detect,
    prepare,
    synthesize,
]
