"""What others can run: a program without gzjax, and weights in files of their own."""

import functools
import hashlib
import json
import operator
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from tiny import make_config, make_plain_config, make_view_config

import gzjax
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.main import main
from gzjax.prediction.export import export
from gzjax.training.weights.model_folder import write_model_folder

SOURCE = SyntheticSource(8, size_px=106)
IMAGES = np.stack([SOURCE.decode(i) for i in range(5)])
ONE_STEP = {"num_train_steps": 1, "head_warmup_steps": 0, "split__valid": 0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    train_and_evaluate(make_plain_config(ema_decay=0.5, **ONE_STEP), workdir)
    return workdir


ELSEWHERE = """
import json, sys
class NoGzjax:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gzjax":
            raise ImportError("there is no gzjax here")
sys.meta_path.insert(0, NoGzjax())
import jax, jax.export
import numpy as np
program = jax.export.deserialize(open(sys.argv[1], "rb").read())
images = np.load(sys.argv[2])
np.savez(sys.argv[3], one=program.call(images[:1]), five=program.call(images))
try:
    import gzjax
except ImportError:
    print(json.dumps(program.platforms))
"""


def test_a_program_runs_where_there_is_no_gzjax(run, tmp_path):
    out = tmp_path / "net.jaxexport"
    command = ["export", f"--workdir={run}", f"--output={out}", "--averaging=d4"]
    assert main([*command, "--size_px=106"]) == 0
    np.save(tmp_path / "images.npy", IMAGES)
    script = tmp_path / "elsewhere.py"
    script.write_text(ELSEWHERE)
    files = [out, tmp_path / "images.npy", tmp_path / "votes.npz"]
    process = subprocess.run(
        [sys.executable, script, *files], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == ["cpu", "cuda", "tpu"]
    known = gzjax.load(run)(IMAGES, averaging="d4")
    with np.load(tmp_path / "votes.npz") as votes:
        np.testing.assert_allclose(votes["five"], known.votes, rtol=0, atol=1e-6)
        np.testing.assert_allclose(votes["one"], known.votes[:1], rtol=0, atol=1e-6)
        assert np.ptp(votes["five"], axis=0).max() > 1e-4
    about = json.loads((tmp_path / "net.jaxexport.json").read_text())
    assert about["output"]["names"] == list(known.names)
    assert about["input"]["shape"] == ["b", 106, 106, 3]
    assert (about["averaging"], about["maps"]) == ("d4", 8)
    assert about["original_px_per_px"] == 4.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "view", "averaging"),
    [
        (make_plain_config, {"angles_deg": (30.0,), "samples": 2}, "rot2x1"),
        (make_config, {}, "half2"),
        (make_view_config, {}, "c4"),
    ],
)
def test_other_programs_agree_but_for_the_rounding_of_pixels(
    make, view, averaging, tmp_path
):
    config = make(**ONE_STEP, **{f"view__{key}": x for key, x in view.items()})
    train_and_evaluate(config, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "net", averaging=averaging, size_px=106)
    program = jax.export.deserialize((tmp_path / "net").read_bytes())
    known = gzjax.load(tmp_path / "run")(IMAGES, averaging=averaging).votes
    assert np.ptp(known, axis=0).max() > 1e-4
    np.testing.assert_allclose(program.call(IMAGES), known, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "new" / "net"
    export(run, folder, kind="safetensors")
    return folder


def test_weights_and_config_give_the_same_predictions_bit_for_bit(run, folder):
    before, after = gzjax.load(run), gzjax.load(folder)
    np.testing.assert_array_equal(before(IMAGES).votes, after(IMAGES).votes)
    np.testing.assert_array_equal(before.embed(IMAGES), after.embed(IMAGES))
    assert after.step == 1
    description = json.loads((folder / "config.json").read_text())
    assert description["run"]["config"]["model"]["name"] == "plain_cnn"
    names = ["config.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    again = folder.parent / "again"
    export(folder, again, kind="safetensors")
    for name in names:
        assert (again / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_a_training_starts_from_exported_weights(name, run, folder, tmp_path, capsys):
    start = folder / name
    still = {"learning_rate": 1e-30, "weight_decay": 0.0, **ONE_STEP}
    config = make_plain_config(init_from=str(start), init_keep_head=True, **still)
    train_and_evaluate(config, tmp_path)
    said = capsys.readouterr().err
    assert f"starting from {start}" in said
    assert ("exported after step 1" in said) == (not name)
    before, after = (gzjax.load(x).variables["params"] for x in (run, tmp_path))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_weights_of_another_network_start_none(folder, tmp_path):
    other = make_config(init_from=str(folder), **ONE_STEP)
    with pytest.raises(UserError, match="holds a network 'plain_cnn', and the one"):
        train_and_evaluate(other, tmp_path)


def _change(*keys, value):
    def damage(folder):
        path = folder / "config.json"
        content = json.loads(path.read_text())
        *parents, last = keys
        functools.reduce(operator.getitem, parents, content)[last] = value
        path.write_text(json.dumps(content))

    return damage


def _flip(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _no_weights(folder):
    data = b"\xff" * 99
    (folder / "model.safetensors").write_bytes(data)
    _change("sha256", value=hashlib.sha256(data).hexdigest())(folder)


def _sparse(folder):
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 33)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip, "is not the file that .*config.json was written with"),
        (_sparse, "model.safetensors cannot be read: larger than 2048 MiB"),
        (_no_weights, "model.safetensors cannot be read: .*header"),
        (lambda f: (f / "config.json").unlink(), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "its format is not"),
        (lambda f: (f / "config.json").write_text("[" * 10**6), "cannot be read"),
        (_change("step", value=1e300), "it has no step"),
        (_change("run", value={}), "does not describe a run"),
        (
            _change("run", "config", "model", "filters", value=[3]),
            r"(?s)other shapes than .*export --kind=safetensors the run again",
        ),
    ],
)
def test_a_folder_of_others_is_checked(folder, damage, message, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    damage(tmp_path)
    with pytest.raises(UserError, match=message):
        gzjax.load(tmp_path)


@pytest.mark.parametrize("large", [np.inf, 1e300])  # in float64; float32 ends before
def test_weights_that_are_not_finite_are_refused(run, large, tmp_path):
    network = gzjax.load(run)
    broken = jax.tree.map(lambda x: np.float64(x) + large, network.variables)
    write_model_folder(network.run, network.step, broken, tmp_path)
    with pytest.raises(UserError, match="with NaN or infinity: "):
        gzjax.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "onnx"}, "there are program, safetensors"),
        ({"kind": "safetensors", "averaging": "d4"}, "are for --kind=program"),
        ({"averaging": "d9"}, "no averaging set 'd9'"),
        ({"size_px": 848}, r"--size_px=848 is not in 2 \.\. 847"),
        ({"output": "."}, "is a folder: name a file"),
        ({"kind": "safetensors", "output": "run"}, "is the folder of a run"),
        ({"kind": "safetensors", "output": "other"}, "holds other files"),
    ],
)
def test_bad_arguments_write_nothing(run, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"output": "net"} | options
    folders = {"run": run, "other": run.parent}
    options["output"] = folders.get(options["output"], options["output"])
    with pytest.raises(UserError, match=message):
        export(run, **options)
    assert not list(tmp_path.iterdir())
