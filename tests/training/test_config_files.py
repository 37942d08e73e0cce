"""Which config is taken: the package's by name, from any folder; a path wins."""

import contextlib
import re
from pathlib import Path

import pytest

from gzjax.configs import p4m
from gzjax.errors import UserError
from gzjax.main import main
from gzjax.progress import console
from gzjax.training.load_config import find_config, load_config, say_which_config

MINE = """
from gzjax.configs import base
def get_config():
    config = base.get_config()
    config.seed = 77
    return config
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A current folder without configs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text(MINE)
    return str(path)


@pytest.mark.parametrize("name", ["p4m", "p4m.py", "configs/p4m.py", "./p4m.py"])
def test_the_package_has_it_wherever_one_is(name, capsys):
    assert find_config(name).samefile(p4m.__file__)
    assert load_config(f"{name}:small", []).model.hidden == 128
    say_which_config(f"{name}:small")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("path", ["p4m.py", "configs/p4m.py"])
def test_a_path_wins_and_says_so(path, here, capsys):
    write(here / path)
    assert load_config(path, []).seed == 77
    assert not capsys.readouterr().err  # each of several processes reads it
    say_which_config(f"{path}:small")
    assert f"config: the file {path}; for the package's, p4m" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["p4m.py", "configs/p4m.py"])
def test_a_name_is_the_packages_and_says_so(path, here, capsys):
    write(here / path)
    assert load_config("p4m", []).seed == 0
    say_which_config("p4m")
    said = capsys.readouterr().err
    assert f"config: p4m of the package; for the file here, {path}" in said


def test_a_file_of_another_name_is_nobodys_double(here, capsys):
    assert load_config(write(here / "mine.py"), []).seed == 77
    assert load_config("mine.py", []).seed == 77
    say_which_config("mine.py")
    assert not capsys.readouterr().err


def test_the_packages_own_file_is_no_double(monkeypatch, capsys):
    monkeypatch.chdir(Path(p4m.__file__).resolve().parent)
    assert load_config("p4m.py", []).seed == load_config("p4m", []).seed == 0
    say_which_config("p4m.py")
    say_which_config("p4m")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("is_first", [True, False])
def test_a_training_says_it_in_the_first_process_alone(
    is_first, here, monkeypatch, capsys
):
    @contextlib.contextmanager
    def joined(**_):
        monkeypatch.setattr(console, "quiet", not is_first)
        yield

    monkeypatch.setattr("gzjax.cli.train.joined", joined)
    monkeypatch.setattr("gzjax.evaluation.evaluate.train_and_evaluate", lambda *_: 0)
    write(here / "p4m.py")
    assert main(["--config=p4m:demo"]) == 0
    said = capsys.readouterr().err
    assert said.count("config: p4m of the package") == is_first


def test_a_checkout_that_is_not_installed_says_so(monkeypatch):
    def files(package):
        raise ModuleNotFoundError(f"No module named '{package}'")

    monkeypatch.setattr("importlib.resources.files", files)
    with pytest.raises(UserError, match=r"(?s)not an installed gzjax.*pip install -e"):
        find_config("p4m")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("p4n", "no config 'p4n'; give a file, or the name"),
        ("p4n", "; nearest: 'p4'"),
        ("p4m.smal", "; nearest: 'p4m'"),
        ("elsewhere/resnet.py", "; nearest: 'resnet'"),
        ("mine", "; nearest: 'mine.py'"),
        ("", "; there are: dieleman, dn, dn_resnet, gz2, khunger, mutual, ng, "),
        ("base", "no config 'base'"),
        ("__init__", "no config '__init__'"),
        ("configs", "no config 'configs'"),
    ],
)
def test_what_is_not_there_names_what_is(path, message, here):
    write(here / "mine.py")
    (here / "configs").mkdir()
    with pytest.raises(UserError, match=re.escape(message)):
        find_config(path)
