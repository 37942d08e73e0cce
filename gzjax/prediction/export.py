"""Exports a trained network: as a program that runs without gzjax, or as weights."""

import math
from importlib.metadata import version
from pathlib import Path

import numpy as np

from gzjax import __version__
from gzjax.data.averaging import averaging_set
from gzjax.data.geometry import FRAME_PX, pixel_matrix, view_matrix
from gzjax.data.images.shrink import Shrink
from gzjax.data.warps import share_warps
from gzjax.errors import UserError
from gzjax.evaluation.calibration.storage import write_calibration
from gzjax.files import check_place, open_aside, write_json
from gzjax.prediction.predictor import Predictor, load
from gzjax.progress import say
from gzjax.training.run_files import MODEL_WEIGHTS

KINDS = ("program", "safetensors")
PLATFORMS = ("cpu", "cuda", "tpu")
_UNCHANGED = np.eye(3, 4, dtype=np.float32)  # colour


def export(
    workdir: str | Path,
    output: str | Path,
    *,
    kind: str = "program",
    averaging: str = "",
    size_px: int | None = None,
    checkpoint: str = "newest",
) -> None:
    """Writes a trained network for others.

    "program" is one file of :mod:`jax.export`, the weights in it, for CPUs, GPUs and
    TPUs, and beside it ``OUTPUT.json``, which says what goes in and what comes out. It
    needs JAX and nothing else::

        program = jax.export.deserialize(open(output, "rb").read())
        predict = jax.jit(program.call)  # compiles anew for each b
        votes = predict(images)  # uint8 [b size size 3] → float32 [b a]

    "safetensors" is a folder (:mod:`gzjax.training.weights.model_folder`), which
    ``gzjax.load`` opens and a training can start from.

    Args:
        workdir: of a training run, or a folder of the second kind.
        averaging: of a program, see :func:`gzjax.data.averaging.averaging_set`; "": the
            run's own.
        size_px: of a program's images, which span the 424 px frame; None: 424, or less
            for a run on images made smaller as they were read.
        checkpoint: of a run: "newest", "best" or a step.

    Raises:
        UserError: bad arguments, not a run, or one on centred galaxies as a program,
            which could not find them.
    """
    output = Path(output).expanduser()
    if kind not in KINDS:
        raise UserError(f"--kind={kind}: there are {', '.join(KINDS)}")
    if kind == "safetensors" and (averaging or size_px):
        raise UserError("--averaging and --size_px are for --kind=program")
    if averaging:
        averaging_set(averaging)  # rejects a wrong name before anything is loaded
    check_place(output / MODEL_WEIGHTS if kind == "safetensors" else output)
    predictor = load(workdir, checkpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    if kind == "safetensors":
        from gzjax.training.weights.model_folder import write_model_folder

        write_model_folder(predictor.run, predictor.step, predictor.variables, output)
        if predictor.calibration:
            write_calibration(predictor.calibration, output)
        say(f"{output}: the weights and what they are; gzjax.load('{output}') opens it")
        return
    averaging = averaging or predictor.config.averaging
    size_px = _check_size(predictor, size_px)
    program = _export_program(predictor, averaging, size_px)
    with open_aside(output, "wb") as file:
        file.write(program.serialize())
    about = output.with_name(output.name + ".json")
    write_json(about, _describe(predictor, averaging, size_px, str(workdir)))
    say(
        f"{output}: a program of uint8 [b {size_px} {size_px} 3] → float32 "
        f"[b {len(predictor.names)}]; {about.name} says what they are"
    )


def _export_program(predictor: Predictor, averaging: str, size_px: int):
    """Returns the :class:`jax.export.Exported` program, with a symbolic batch."""
    import jax
    import jax.export
    import jax.numpy as jnp

    from gzjax.ops.resample import sample_views
    from gzjax.steps.steps import predict_placements

    config, programs = predictor.config, predictor.experiment.programs
    if predictor.run["config"]["data"]["detections"]:
        raise UserError(
            "the run is on centred galaxies, and a program cannot find them: give "
            "--kind=safetensors, or a run that is not :centred"
        )
    view, tree = config.view, predictor.experiment.tree
    warps = share_warps(averaging_set(averaging), view.angles_deg)
    matrices = view_matrix(
        warps.placements, view.size_px * view.samples, view.scale / view.samples
    )
    matrices = pixel_matrix(matrices, FRAME_PX / size_px, (size_px, size_px))
    head = programs.head(predictor.step)
    predict = predict_placements(programs.model, config, tree, head)
    weights = jax.device_get(predictor.variables)

    def of_one(variables, image):
        views = sample_views(image[None], matrices, view.size_px, view.samples)
        votes = predict(variables, views, _UNCHANGED[None], warps.warp, warps.element)
        return jnp.clip(votes[0].mean(axis=0), 0, 1).astype(jnp.float32)

    @jax.jit
    def program(images):
        # Else XLA works out what it can of constant weights as it compiles: a minute.
        variables = jax.lax.optimization_barrier(weights)
        return jax.vmap(of_one, in_axes=(None, 0))(variables, images)

    shape = jax.export.symbolic_shape(f"b, {size_px}, {size_px}, 3")
    return jax.export.export(program, platforms=PLATFORMS)(
        jax.ShapeDtypeStruct(shape, jnp.uint8)
    )


def _check_size(predictor: Predictor, size_px: int | None) -> int:
    data = predictor.config.data
    shrink = Shrink(None, data.decode_scale, data.pixel_scale or 1.0)
    largest = math.ceil(2 * FRAME_PX / shrink.span) - 1
    if size_px is None:
        return round(FRAME_PX / shrink.span)
    if not 2 <= size_px <= largest:
        raise UserError(
            f"--size_px={size_px} is not in 2 .. {largest}: make finer images smaller "
            "before; the program does not"
        )
    return size_px


def _describe(predictor: Predictor, averaging: str, size_px: int, workdir: str) -> dict:
    view = predictor.config.view
    return {
        "input": {
            "type": "uint8",
            "shape": ["b", size_px, size_px, 3],
            "meaning": "RGB images, as they are decoded, about the galaxy's centre; "
            f"each spans the {FRAME_PX} px frame of the Galaxy Zoo challenge, about "
            "8.5 Petrosian radii R90",
        },
        "output": {
            "type": "float32",
            "shape": ["b", len(predictor.names)],
            "meaning": "vote fractions: of all volunteers, how many gave the answer",
            "names": list(predictor.names),
            "columns": list(predictor.columns),
        },
        "original_px_per_px": FRAME_PX / size_px,
        "view": {
            "size_px": view.size_px,
            "original_px_per_px": view.scale,
            "angles_deg": list(view.angles_deg),
        },
        "averaging": averaging,
        "maps": len(averaging_set(averaging)),
        "platforms": list(PLATFORMS),
        "call": "jax.jit(jax.export.deserialize(open(FILE, 'rb').read()).call)(images)",
        "step": predictor.step,
        "workdir": workdir,
        "gzjax": __version__,
        "jax": version("jax"),
    }
