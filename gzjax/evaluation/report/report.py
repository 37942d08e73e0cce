"""Writes one page of everything that trained and evaluated runs have to show."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from jinja2 import UndefinedError

from gzjax.errors import UserError, nearest
from gzjax.evaluation.labels import check_label, check_workdirs, missing_message
from gzjax.evaluation.report.page import make_page
from gzjax.evaluation.report.runs import NO_MAPS, RunReport, read_run_report
from gzjax.files import check_place, read_json, write_text
from gzjax.progress import say
from gzjax.training import run_files as layout

_MAX_BYTES = 4_000_000


def report(
    workdirs: Sequence[str | Path],
    *,
    label: str = "valid-none",
    robustness: str = "",
    output: str | Path = "report.html",
    cam_layer: str = "",
    cam_answers: Sequence[str] = (),
    data: str | Path = "",
    pixel_scale: float | None = None,
) -> Path:
    """Writes one HTML page, with all pictures in it, about evaluated runs.

    Args:
        workdirs: runs that ``evaluate`` scored.
        label: names the evaluations.
        robustness: a folder that the robustness study wrote; "": none.
        output: the page, whose path is returned; its folder is made if missing.
        cam_layer: the layer (``gzjax.models.probes.layer_maps``) whose activation maps
            are shown; "": see
            :func:`gzjax.evaluation.report.galaxy_images.choose_layer`; "none": no maps.
        cam_answers: the answers that maps explain, as ``"bar.yes"``; (): those of the
            first question and of spiral arms.
        data: a folder with the images; "": where the evaluation found them.
        pixel_scale: see ``configs/base.py``; None: as in training.

    Raises:
        UserError: a run is given twice or has no such evaluation, files are broken, the
            runs have different trees, or there is no such layer or answer. If images or
            checkpoints are gone, a note on the page says so.
    """
    runs = _read_runs(workdirs, label)
    known = runs[0].tree.answer_names
    for answer in cam_answers:
        if answer not in known:
            raise UserError(f"no answer '{answer}'; {nearest(answer, known)}")
    study = _read_study(robustness, workdirs) if robustness else None
    output = Path(output)
    check_place(output)

    from gzjax.evaluation.report.galaxy_images import add_images

    complete = [
        add_images(run, cam_layer, cam_answers, str(data), pixel_scale) for run in runs
    ]
    page = _make_page(complete, label, study, cam_layer != NO_MAPS)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, page)
    size = len(page.encode())
    print(f"{output}  {size / 1e6:.1f} MB")
    if size > _MAX_BYTES:
        say("note: the page is large; give --cam_layer=none, or fewer runs")
    return output


def _make_page(runs, label, study, with_maps) -> str:
    """Returns the page; a UserError names a run whose scores cannot be shown."""
    try:
        return make_page(runs, label, study, with_maps)
    except (ArithmeticError, LookupError, TypeError, ValueError, UndefinedError) as why:
        if len(runs) > 1 or study:
            for run in runs:
                _make_page([run], label, None, with_maps)
            raise
        path = layout.results_folder(runs[0].folder) / layout.evaluation_name(label)
        raise UserError(
            f"{path} cannot be shown: {why!r:.200}; make it again with\n"
            f"  {runs[0].command}"
        ) from why


def _read_runs(workdirs, label) -> list[RunReport]:
    folders = check_workdirs(workdirs)
    check_label(label)
    names = [folder.resolve().name for folder in folders]
    runs = []
    for folder, name in zip(folders, names, strict=True):
        _check_files(folder, label)
        name = name if names.count(name) == 1 else str(folder)
        runs.append(read_run_report(folder, label, name))
    for run in runs:
        if run.tree != runs[0].tree:
            raise UserError(
                f"{run.folder} and {runs[0].folder} answer different decision trees: "
                "make a page of each"
            )
    return runs


def _check_files(folder, label):
    of_label = layout.predictions_name, layout.targets_name, layout.evaluation_name
    for path in (layout.results_folder(folder) / name(label) for name in of_label):
        if path.is_file():
            continue
        if layout.is_network(folder) or not folder.is_dir():
            raise UserError(missing_message(folder, path.name, label))
        raise UserError(
            f"{folder} is not a training run: it holds neither checkpoints nor "
            f"{path.name}; give --workdirs=A,B,... of runs, not of blends"
        )


def _read_study(folder, workdirs) -> dict:
    def parse(study):
        if not study["models"]:
            raise ValueError("it holds no models")
        return study

    command = ["python", "-m", "gzjax.main", "robustness"]
    command += [f"--workdirs={','.join(map(str, workdirs))}", f"--output={folder}"]
    path = Path(folder) / "robustness.json"
    return read_json(path, f"make it with\n  {shlex.join(command)}", parse)
