"""Every command is a function of its name that takes its flags by name."""

import importlib
import inspect
import subprocess
import sys

import pytest

from gzjax.cli.commands import COMMANDS, PROCESSES, REQUIRED
from gzjax.cli.flags import FLAGS, make_parser


@pytest.mark.parametrize("name", COMMANDS)
def test_a_function_takes_the_flags_with_their_defaults(name):
    command = COMMANDS[name]
    function = getattr(importlib.import_module(command.module), name)
    assert command.module.endswith(f".{name}")
    taken = {
        key: REQUIRED if p.default is p.empty else p.default
        for key, p in inspect.signature(function).parameters.items()
        if p.kind is not p.VAR_KEYWORD  # train hands the flags of processes on
    }
    assert (taken.pop("overrides", None) is not None) == command.reads_configs
    given = {
        key: default[0] if isinstance(default, tuple) else default
        for key, default in command.flags.items()
        if key not in PROCESSES
    }
    assert {k: v for k, v in given.items() if v != taken.get(k)} in (
        {},
        ALONE.get(name),
    )
    assert given.keys() == taken.keys()


# A flag that may be left out, though the function wants a folder or says "".
ALONE = {"detect": {"data": ""}, "prepare": {"data": ""}}


def test_a_flag_is_declared_once_and_used():
    used = {name for command in COMMANDS.values() for name in command.flags}
    assert used == FLAGS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_each_flag_means(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args([name, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert COMMANDS[name].help in said
    assert all(f"--{flag} " in said for flag in COMMANDS[name].flags)


def test_the_command_line_does_not_wait_for_jax():
    check = "import sys, gzjax.main; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
