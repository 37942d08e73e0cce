"""Every command refuses wrong paths, names and choices before it imports JAX."""

import json
import os
import subprocess
import sys

import pytest
from hostile import jpeg
from tiny import plain_flags

from gzjax.main import main

REFUSE = """
import contextlib, io, json, sys
from gzjax.main import main
for argv in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            code = main(argv)
        except SystemExit as left:
            code = left.code
    # What is imported stays, so that the first to import JAX is the one at fault.
    print(json.dumps([code, "jax" in sys.modules, said.getvalue()]))
"""
DEMO = ["--config=p4m:demo", "--workdir=TMP/new"]
OF_RUN = {
    "--workdir=TMP/none": "no such folder: give the folder of a trained run",
    "--workdir=TMP": "holds no checkpoint; runs in it: ",
    "--checkpoint=9": "Steps kept: 2",
    "--checkpoint=old": "Steps kept: 2",
}
CHANGED = {  # command → what is right of it; what makes it wrong, and what is said
    "train": (
        DEMO,
        {
            "--config=p5m": "no config 'p5m'",
            "--config=p4m:tiny": "no variant ':tiny' of this config; there are: small",
            "--config.seeds=1": "no key 'seeds' in the config; nearest: 'seed'",
            "--config.tree=gz9": "the tree is 'gz9'; there are: gz2",
            "--config.data.kind=fits": "config.data.kind is 'fits'; there are:",
            "--init_from=TMP/none": "there is no such file or folder",
            "--workdir=TMP/file": "cannot be written: ",
            "--coordinator=here": "alone does not say which process",
        },
    ),
    "evaluate": (
        ["--workdir=RUN"],
        {
            **OF_RUN,
            "--averaging=e8": "no averaging set 'e8'; there are: none",
            "--split=dev": "no split 'dev'; there are: train",
            "--split=train": "predictions-train-none.csv is a folder",
            "--data=TMP/none": "the data cannot be read: No such file",
            "--detections=x.csv": "not centred: leave out --detections",
        },
    ),
    "calibrate": (
        ["--workdir=RUN"],
        {
            **OF_RUN,
            "--split=all": "--split=all: give valid or test",
            "--data=TMP/none": "the data cannot be read: No such file",
            "--detections=x.csv": "not centred: leave out --detections",
        },
    ),
    "predict": (
        ["--workdir=RUN", "--images=TMP/images", "--output=TMP/new.csv"],
        {
            **OF_RUN,
            "--images=TMP/none": "there is no such path",
            "--output=TMP/new.txt": "a table is written as",
            "--output=TMP/images": "is a folder: name a file",
            "--output=TMP/file/new.csv": "cannot be written: ",
            "--dtype=half": "'half'; there are: float32, bfloat16",
            "--kind=list": "--kind=list: there are submission",
            "--averaging=e8": "no averaging set 'e8'",
            "--shard=9": "--shard=9: give I/N",
            "--stretch=cube": "cube",
            "--pixel_scale=-1": "is not a number above 0",
        },
    ),
    "export": (
        ["--workdir=RUN", "--output=TMP/new"],
        {
            **OF_RUN,
            "--kind=onnx": "--kind=onnx: there are program",
            "--averaging=e8": "no averaging set 'e8'",
            "--output=TMP": "is a folder: name a file",
            "--output=TMP/file/new": "cannot be written: ",
        },
    ),
    "robustness": (
        ["--workdirs=RUN"],
        {
            **{wrong.replace("dir=", "dirs="): said for wrong, said in OF_RUN.items()},
            "--split=dev": "no split 'dev'",
            "--data=TMP/none": "the data cannot be read: No such file",
            "--reference=TMP": "is not among --workdirs",
            "--step_deg=7": "give a divisor of 90",
            "--num_galaxies=0": "give at least 1",
            "--averaging=e8": "no averaging set 'e8'",
            "--output=TMP/file/new": "cannot be written: ",
        },
    ),
    "equivariance": (
        ["--workdir=RUN"],
        {
            **OF_RUN,
            "--split=dev": "no split 'dev'",
            "--data=TMP/none": "the data cannot be read: No such file",
            "--config=p4m": "give either --workdir=RUN, a trained run, or --config",
            "--config.seed=1": "a run has its config",
            "--seeds=2": "give 1, or more with --config",
            "--num_galaxies=1": "give at least 2",
            "--pixel_scale=0": "--pixel_scale=0: give a number above 0",
            "--detections=x.csv": "not centred: leave out --detections",
            "--angles_deg=45,x": "invalid numbers value: '45,x'",
            "--angles_deg=45,45": "--angles_deg=45,45: give numbers, each once",
            "--angles_deg=45,45.0000001": "give numbers, each once",
            "--angles_deg=400": "--angles_deg=400: give angles from -360 to 360",
            "--zooms=0": "--zooms=0: give numbers above 0",
            "--output=TMP/file/new": "cannot be written: ",
        },
    ),
    "compare": (
        ["--configs", "p4m:demo", "--output=TMP/new"],
        {
            "--configs=p5m": "p5m: no config 'p5m'",
            "--configs=p4m:demo p4m:tiny": "p4m:tiny: no variant ':tiny'",
            "--averaging=e8": "no averaging set 'e8'",
            "--data=TMP/none": "the data cannot be read: No such file",
            "--output=TMP/file/new": "cannot be written: ",
        },
    ),
    "report": (
        ["--workdirs=RUN"],
        {
            "--workdirs=TMP/none": "is not a folder",
            "--label=test-d4": "has no predictions-test-d4.csv",
            "--cam_answers=bar.maybe": "no answer 'bar.maybe'",
            "--robustness=TMP/none": "make it with",
            "--output=TMP": "is a folder: name a file",
            "--output=TMP/file/new.html": "cannot be written: ",
        },
    ),
    "ensemble": (["--workdirs=RUN,TMP/none"], {"--label=test-d4": "test-d4"}),
    "merge": ([], {"--output=TMP/none": "cannot be read", "--output=TMP": "a folder"}),
    "detect": ([], {"--data=TMP/none": "there is no such folder"}),
    "synthesize": (["--output=TMP/new"], {"--tree=foo": "as --tree (train: "}),
    "prepare": (["--output=TMP/new"], {"--data=TMP/none": "cannot be read"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "file").touch()
    (folder / "images").mkdir()
    (folder / "images" / "1.jpg").write_bytes(jpeg())
    assert main([f"--workdir={folder}/run", *plain_flags(num_train_steps=2)]) == 0
    (folder / "run" / "predictions-train-none.csv").mkdir()
    return folder


def test_nothing_wrong_waits_for_jax(folder):
    def real(text):
        return text.replace("RUN", f"{folder}/run").replace("TMP", str(folder))

    cases = [
        ([command, *map(real, right), real(wrong)], said)
        for command, (right, wrongs) in CHANGED.items()
        for wrong, said in wrongs.items()
    ]
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", REFUSE, json.dumps([argv for argv, _ in cases])],
        env=os.environ | {"GZJAX_DATA": ""},
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    found = map(json.loads, done.stdout.splitlines())
    wrong = [
        (argv, code, has_jax, said)
        for (argv, words), (code, has_jax, said) in zip(cases, found, strict=True)
        if code != 2 or has_jax or words not in said
    ]
    assert not wrong, "\n".join(map(str, wrong))
    assert sorted(folder.rglob("*")) == before
