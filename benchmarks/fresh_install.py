"""The package as others get it: built, installed into empty environments, and used.

    python benchmarks/fresh_install.py --python 3.11 3.12 3.13

Builds the sdist, and the wheel from it, out of the files that git knows, and compares
what is in them. For each Python it then makes an empty environment, installs the wheel
with what pip takes along, and from a folder that has nothing to do with this one runs
the console command (help, train, evaluate, predict) and a script that calls
``train_and_evaluate`` under a running event loop and without flags, as notebooks do; at
last it installs the sdist over it. Prints versions and seconds; exit code 1 if anything
failed. Needs git, ``pip install build``, and a package index.
"""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOT_SHIPPED = (".ci/", ".gitignore")
GENERATED = ("PKG-INFO", "setup.cfg", "gzjax.egg-info/")
DROPPED = ("PYTHONPATH", "GZJAX_DATA")  # of the environment's variables
FEW = {
    "data.synthetic.num_galaxies": 48,
    "data.synthetic.size_px": 106,
    "batch_size": 8,
    "eval_batch_size": 8,
    "num_train_steps": 4,
    "head_warmup_steps": 2,
    "log_every_steps": 2,
    "eval_every_steps": 4,
    "checkpoint_every_steps": 2,
    "model.planes": (1, 2, 2, 2, 3, 3),
}
OVERRIDES = [f"--config.{key}={value}" for key, value in FEW.items()]
NOTEBOOK = f"""
import asyncio
from gzjax.training.load_config import load_config
from gzjax.evaluation.evaluate import train_and_evaluate
async def cell():
    config = load_config("configs/p4m.py:demo", {OVERRIDES})
    print("trained", int(train_and_evaluate(config, "by_hand").step))
asyncio.run(cell())
"""
VERSIONS = """
import importlib.metadata as m, platform
print(platform.python_version(), *(m.version(p) for p in ("jax", "flax", "numpy")))
"""


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist and the wheel."""
    source = folder / "source"
    for name in known_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    made = folder / "dist"
    command = [sys.executable, "-m", "build", "--outdir", made, source]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (sdist,), (wheel,) = made.glob("*.tar.gz"), made.glob("*.whl")
    return sdist, wheel


def known_files() -> list[str]:
    """Of the checkout, those that are or may be committed."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return [n for n in listed.stdout.decode().splitlines() if (ROOT / n).is_file()]


def differences(sdist: Path, wheel: Path) -> list[str]:
    """What is in one of them and should not be, or the other way round."""
    known = {n for n in known_files() if not n.startswith(NOT_SHIPPED)}
    with tarfile.open(sdist) as archive:
        names = [m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()]
    shipped = {name for name in names if not name.startswith(GENERATED)}
    modules = {n for n in known if n.startswith(("gzjax/", "configs/"))}
    modules = {n.replace("configs/", "gzjax/configs/", 1) for n in modules}
    with zipfile.ZipFile(wheel) as archive:
        installed = {n for n in archive.namelist() if ".dist-info/" not in n}
    return [f"sdist: {name}" for name in sorted(shipped ^ known)] + [
        f"wheel: {name}" for name in sorted(installed ^ modules)
    ]


@dataclasses.dataclass
class Environment:
    """An empty environment, and what was done in it."""

    folder: Path
    versions: str = ""
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)

    def do(self, what: str, program: str, *arguments: str | Path) -> str:
        """Runs a program of the environment from another folder; what it printed."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if k not in DROPPED}
        compiled = {"JAX_COMPILATION_CACHE_DIR": str(self.folder / "compiled")}
        begun = time.monotonic()
        done = subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=elsewhere,
            env=kept | {"JAX_PLATFORMS": "cpu"} | compiled,
            capture_output=True,
            text=True,
            errors="replace",
        )
        self.seconds[what] = time.monotonic() - begun
        if done.returncode:
            tail = "\n".join(done.stderr.splitlines()[-15:])
            self.problems.append(f"{what}: exit code {done.returncode}\n{tail}")
        return done.stdout

    def expect(self, what: str, is_so: bool) -> None:
        """Notes it as a problem if it is not so."""
        if not is_so:
            self.problems.append(f"not so: {what}")


def try_in(python: str, folder: Path, sdist: Path, wheel: Path) -> Environment:
    """Everything, with one Python; stops at nothing but a failed installation."""
    subprocess.run([interpreter(python), "-m", "venv", folder], check=True)
    env = Environment(folder)
    pip = ("python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    env.do("install", *pip, "install", wheel)
    if env.problems:
        return env
    env.do("pip check", *pip, "check")
    env.versions = env.do("versions", "python", "-c", VERSIONS).strip()
    env.do("bytecode", "gzjax", "--help")  # the first start compiles Python's
    env.expect("gzjax --help", env.do("help", "gzjax", "--help").startswith("usage:"))
    env.do("train", "gzjax", "--config=p4m:demo", "--workdir=run", *OVERRIDES)
    table = env.do("evaluate", "gzjax", "evaluate", "--workdir=run", "--averaging=d4")
    env.expect("a table of scores", "RMSE of the training mean" in table)
    draw = ("gzjax", "synthesize", "--output=drawn", "--num_galaxies=5")
    env.do("synthesize", *draw, "--size_px=106")
    env.do(
        "predict",
        "gzjax",
        "predict",
        "--workdir=run",
        "--images=drawn/images_training_rev1",
        "--output=votes.csv",
    )
    votes = folder / "elsewhere" / "votes.csv"
    rows = votes.read_text().splitlines() if votes.exists() else []
    env.expect("5 predictions", len(rows) == 6)
    said = env.do("script", "python", "-c", NOTEBOOK)
    env.expect("a state of 4 steps", said.endswith("trained 4\n"))
    env.do("sdist", *pip, "install", "--no-deps", "--force-reinstall", sdist)
    env.do("help again", "python", "-m", "gzjax.main", "--help")
    return env


def interpreter(python: str) -> str:
    """The program of a version such as 3.12 (of pyenv if there is no other)."""
    if os.sep in python:
        return python
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{python}.*/bin/python"))
    found = shutil.which(
        f"python{python}", path=os.environ["PATH"].replace("shims", "")
    )
    if not found and not pyenv:
        sys.exit(f"no Python {python} here")
    return found or str(pyenv[-1])


COLUMNS = ("install", "help", "train", "evaluate", "predict", "script", "sdist")


def main() -> int:
    """Builds, tries every Python, prints the table, returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("--python", nargs="+", default=[own], help="versions or paths")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gzjax-fresh-") as name:
        folder = Path(name)
        sdist, wheel = build(folder)
        sizes = ", ".join(
            f"{p.name} {p.stat().st_size / 1e6:.2f} MB" for p in (sdist, wheel)
        )
        problems = differences(sdist, wheel)
        print("\n".join([sizes, *problems]), flush=True)
        print(
            f"{'Python, jax, flax, numpy':<34}" + "".join(f"{c:>10}" for c in COLUMNS)
        )
        for index, python in enumerate(args.python):
            env = try_in(python, folder / f"env{index}", sdist, wheel)
            times = "".join(
                f"{env.seconds.get(c, float('nan')):>10.2f}" for c in COLUMNS
            )
            print(f"{env.versions or python:<34}{times}", flush=True)
            print("".join(f"    {problem}\n" for problem in env.problems), end="")
            problems += env.problems
    print(f"{len(problems)} problems; seconds")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
