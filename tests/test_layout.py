"""The house: each module imports only from lower floors, the host never JAX."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gzjax"
FLOORS = [  # lowest first; a module may import from its own floor and those below
    [
        "errors",
        "flags",
        "host_memory",
        "trees",
        "workdir",
        "progress",
        "reading",
        "config_args",
        "config_files",
        "shard",
        "processes",
    ],
    ["data"],
    ["averaging", "vote_files", "blending", "metrics", "report", "tables"],
    ["members", "parts", "predicting_runs"],
    ["prediction_plan"],
    ["output_checks"],
    ["merge"],
    ["ensemble"],
    ["ops"],
    ["models", "losses", "optim", "phases"],
    [
        "layers",
        "train_state",
        "sharding",
        "stop_signals",
        "metric_writer",
        "wandb_log",
        "distributed",
        "agreement",
    ],
    ["accumulate", "step_profile"],
    ["steps", "checkpoint", "cam"],
    ["predict", "check_config"],
    ["programs"],
    ["experiment"],
    ["run_info"],
    ["trained", "trained_source"],
    ["weights", "comparison"],
    ["start"],
    ["evaluate"],
    ["robustness", "predict_images", "predictor", "run_pictures", "report_runs"],
    ["export"],
    ["train"],
    ["compare"],
    ["commands"],
    ["main"],
]
FLOOR = {name: i for i, floor in enumerate(FLOORS) for name in floor}
HOST = ("data", "trees", "averaging", "metrics", "vote_files", "blending", "members",
        "ensemble", "report", "tables",
        "shard", "parts", "predicting_runs", "prediction_plan", "output_checks",
        "merge", "processes")  # fmt: skip
DEVICE = ("jax", "flax", "optax", "orbax", "chex")


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "gzjax" and parts[1] not in ("configs", "__version__"):
            assert FLOOR[parts[1]] <= FLOOR[here], f"{here} imports {name}"
        if here in HOST:
            assert parts[0] not in DEVICE, f"{here} is the host's and imports {name}"
        if here == "ops":
            assert parts[0] not in ("flax", "optax", "orbax", "grain", "cv2")


def test_every_room_has_a_floor():
    assert {room(p) for p in MODULES} == set(FLOOR)
