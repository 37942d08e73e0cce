"""From what is typed to a config: files and names, variants, keys and values."""

import re

import pytest

from gzjax.errors import UserError
from gzjax.training.load_config import load_config, run_name


def test_overrides_keep_their_types():
    overrides = {"data.dir": "/x", "batch_size": 8, "model.exact": False}
    argv = [f"--config.{key}={value}" for key, value in overrides.items()]
    argv.append("--config.view.mean=(0.1,0.2,0.3)")
    config = load_config("configs/p4m.py", argv)
    assert config.data.dir == "/x"
    assert config.batch_size == 8
    assert config.model.exact is False
    assert config.view.mean == (0.1, 0.2, 0.3)
    assert run_name("some/where/p4m.py:demo") == "p4m-demo"
    assert run_name("p4m") == "p4m"
    assert run_name("dieleman.py:big256,quick") == "dieleman-big256-quick"


@pytest.mark.parametrize(
    ("argument", "override", "message"),
    [
        ("p4m", "--config.learning_rat=1", "nearest: 'learning_rate'"),
        ("p4m", "--config.model=1", "no key 'model'"),
        ("p4m", "--config.batch_size=x", "batch_size=x"),
        ("p4m", "--config.batch_size", "give --config.batch_size=VALUE"),
        ("p4m:big", "--config.batch_size=1", "there are: small, demo"),
        (
            "resnet:18-c2f,small",
            "--config.num_train_steps=20",
            "config.num_train_steps is set by every phase; change phases.phase1.num_tr",
        ),
        ("nope", "--config.batch_size=1", "no config 'nope'"),
    ],
)
def test_bad_arguments_name_the_remedy(argument, override, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_config(argument, [override])
