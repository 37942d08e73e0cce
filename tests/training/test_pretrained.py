"""Torchvision's weights give torchvision's answers; a run starts another one."""

import functools
import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from drawn_weights import NUM_CLASSES, draw, draw_images, resnet_shapes
from tiny import make_config, make_view_config

from gzjax.errors import UserError
from gzjax.models import make_model
from gzjax.models.layers import GroupBatchNorm
from gzjax.models.resnet import ResNet
from gzjax.models.steerable_cnn import SteerableCNN
from gzjax.steps.mesh import make_mesh, replicated
from gzjax.steps.optim import make_optimizer
from gzjax.steps.state import TrainState, make_train_state
from gzjax.training import run_files as layout
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.weights.initialise import _network_of, initialise

DATA = Path(__file__).parent.parent / "fixtures"
# What PyTorch answers: made by tests/torch_resnet.py.
CASES = json.loads((DATA / "torch_resnet.json").read_text())
THIN = (8, 12, 16, 24)
TOLERANCE = 1e-4


def zero_state(model):
    """A state of zeros: quicker than a fresh one."""
    images = jnp.zeros((1, model.input_size, model.input_size, 3))
    shapes = jax.eval_shape(
        functools.partial(model.init, train=False), jax.random.key(0), images
    )
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    step = jnp.zeros((), jnp.int32)
    return TrainState(step, zeros["params"], zeros["batch_stats"], (), None)


def thin_resnet(depth=18, group="p1", planes=THIN, size_px=65, **fields):
    return ResNet(size_px, 4, depth, group, planes, hidden=(7,), **fields)


def save(folder, tensors):
    path = folder / "resnet.safetensors"
    contiguous = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    safetensors.numpy.save_file(contiguous, path)
    return path


@functools.cache
def thin_weights(depth=18):
    return draw(resnet_shapes(depth, THIN))


def features(case, folder):
    """Of ``case``'s images, by our network with weights from a file of torch's."""
    depth, planes, size_px = case["depth"], tuple(case["planes"]), case["size_px"]
    tensors = draw(resnet_shapes(depth, planes))
    num_features = tensors["fc.weight"].shape[1]
    # As many outputs as features, each its copy.
    model = ResNet(
        size_px, num_features, depth, planes=planes, hidden=(), dropout_rates=(0.0,)
    )
    state, _ = initialise(zero_state(model), model, save(folder, tensors), False)
    state.params["outputs"] |= {"kernel": jnp.eye(num_features)}
    images = draw_images(size_px)
    found = jax.jit(functools.partial(model.apply, train=False))(
        state.eval_variables(), images
    )
    return np.asarray(found), tensors


def error_of(case, found, tensors):
    logits = found @ tensors["fc.weight"].T + tensors["fc.bias"]
    assert logits.shape == (2, NUM_CLASSES)
    return max(
        np.abs(found[:, :: case["features_step"]] - case["features"]).max(),
        np.abs(logits - case["logits"]).max(),
    )


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c['depth']}-{max(c['planes'])}-{c['size_px']}px"
)
def test_torchvisions_weights_give_torchvisions_answers(case, tmp_path):
    found, tensors = features(case, tmp_path)
    assert error_of(case, found, tensors) < TOLERANCE
    if importlib.util.find_spec("torch"):  # not among gzjax's needs
        import torch_resnet

        answers = torch_resnet.answer(case["depth"], case["planes"], case["size_px"])
        np.testing.assert_allclose(found, answers[0], rtol=0, atol=TOLERANCE)


def same_max_pool(x, window):
    """Pads only where it must, as TensorFlow does: at 32 px on one side only."""
    k, stride = window.size, window.stride
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, k, k, 1, 1), (1, stride, stride, 1, 1), "SAME"
    )


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("blocks.GroupBatchNorm", functools.partial(GroupBatchNorm, epsilon=1e-3)),
        ("pools.max_pool", same_max_pool),
    ],
)
def test_other_conventions_would_be_seen(name, other, tmp_path, monkeypatch):
    monkeypatch.setattr(f"gzjax.models.{name}", other)
    case = CASES[1]
    assert error_of(case, *features(case, tmp_path)) > 10 * TOLERANCE


def test_what_was_taken_and_what_was_not_is_said(tmp_path):
    model, tensors = thin_resnet(), thin_weights()
    counter = {"bn1.num_batches_tracked": np.array(3)}
    path = save(tmp_path, tensors | counter)
    state, lines = initialise(zero_state(model), model, path, False)
    of_classes = [x.size for name, x in tensors.items() if name.startswith("fc.")]
    of_statistics = [x.size for name, x in tensors.items() if ".running_" in name]
    count = sum(x.size for x in tensors.values()) - sum(of_classes + of_statistics)
    assert lines == [
        f"starting from {path}: {len(tensors) - 2} tensors, {count:,} parameters",
        "not taken from there: 2 (fc.bias, fc.weight)",
        "fresh in the network: 4 (hidden1/bias, hidden1/kernel, outputs/bias, "
        "outputs/kernel)",
    ]
    block = state.params["layer2_0"]
    np.testing.assert_array_equal(
        block["downsample_conv"]["kernel"][0, 0, 0],
        tensors["layer2.0.downsample.0.weight"][:, :, 0, 0].T,
    )
    np.testing.assert_array_equal(
        state.batch_stats["layer2_0"]["downsample_norm"]["var"],
        tensors["layer2.0.downsample.1.running_var"],
    )
    assert not state.params["hidden1"]["kernel"].any()


def changed(**changes):
    tensors = thin_weights() | {k.replace("__", "."): v for k, v in changes.items()}
    return {name: x for name, x in tensors.items() if x is not None}


@pytest.mark.parametrize(
    ("fields", "tensors", "message"),
    [
        ({"depth": 34}, {}, r"holds a ResNet-18, and the network here is a ResNet-34"),
        ({"depth": 50}, thin_weights(34), "holds a ResNet-34, .* a ResNet-50"),
        ({"planes": (8, 12, 16, 20)}, {}, r"other shapes .*layer4_0/.*\(3, 3, 1, 16, "),
        ({"group": "p4m"}, {}, "config.model.group is 'p4m'"),
        ({"block_bias": True}, {}, r"not there: 16 \(tensors layer1_0/conv1/bias"),
        ({}, {"features.0.weight": np.ones(3)}, "not a state dict of torchvision's"),
        ({}, changed(bn1__bias=None), r"not there: 1 \(tensor norm1/bias\)"),
        ({}, changed(bn2__bias=np.ones(3)), "not in the network: 1 .tensor norm2/bias"),
        ({}, changed(attention=np.ones(3)), "not in the network: 1 .tensor attention"),
        ({}, changed(bn1__bias=np.full(8, np.nan)), "infinity: 1 .tensor norm1/bias"),
        ({}, changed(bn1__bias=np.full(8, 1e300)), "infinity"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(fields, tensors, message, tmp_path):
    model = thin_resnet(**fields)
    path = save(tmp_path, tensors or thin_weights())
    with pytest.raises(UserError, match=f"(?s){path}.*{message}"):
        initialise(zero_state(model), model, path, False)


def test_the_outputs_of_other_classes_cannot_be_kept(tmp_path):
    model = thin_resnet()
    path = save(tmp_path, thin_weights())
    with pytest.raises(UserError, match=r"(?s)not there: 2 .*init_keep_head = False"):
        initialise(zero_state(model), model, path, True)


def make_drawn(num_outputs=37, make_config=make_config, **changes):
    """A config, its network, and a state of random numbers."""
    config = make_config(**changes)
    model = make_model(config, num_outputs)
    tx = make_optimizer(config)
    shapes = jax.eval_shape(lambda: make_train_state(model, tx, config))
    rng = np.random.default_rng(config.seed)
    state = jax.tree.map(lambda x: jnp.array(rng.random(x.shape), x.dtype), shapes)
    return config, model, state


def write_run(workdir, config, states):
    """``states``: step → (state, validation RMSE)."""
    run = json.loads(json.dumps({"config": config.to_dict()}))
    with Checkpoints(workdir / layout.CHECKPOINTS) as checkpoints:
        for step, (state, valid_rmse) in states.items():
            checkpoints.save(step, state, run, valid_rmse)
    return workdir


def plus(tree, number):
    return jax.tree.map(lambda x: x + number, tree)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder; its best state, of step 3; and the config."""
    config, _, state = make_drawn(seed=5, ema_decay=0.9)
    # Another optimiser, as an older or newer program may have had.
    state = state.replace(opt_state={"other": jnp.ones(3)})
    best = state.replace(
        params=plus(state.params, 1.0),
        ema_params=plus(state.params, 2.0),
        batch_stats=plus(state.batch_stats, 3.0),
    )
    states = {3: (best, 0.1), 6: (state, 0.2)}
    return write_run(tmp_path_factory.mktemp("run"), config, states), best


def check_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_run_starts_one_on_another_tree(run):
    workdir, best = run
    _, model, fresh = make_drawn(num_outputs=5, ema_decay=0.5)
    fresh = jax.device_put(fresh, replicated(make_mesh()))
    state, lines = initialise(fresh, model, workdir, False)
    outputs = {"outputs": fresh.params["outputs"]}
    check_same(state.params, best.ema_params | outputs)
    check_same(state.ema_params, best.ema_params | outputs)
    check_same(state.batch_stats, best.batch_stats)
    check_same(state.opt_state, fresh.opt_state)
    assert state.step == 0
    assert jax.tree.map(lambda x: x.sharding, state) == jax.tree.map(
        lambda x: x.sharding, fresh
    )
    assert lines[0].startswith(
        f"starting from {workdir}, averaged parameters of step 3 "
        "(best by validation RMSE): 38 tensors, "
    )
    assert lines[1:] == [
        "not taken from there: 2 (outputs/bias, outputs/kernel)",
        "fresh in the network: 2 (outputs/bias, outputs/kernel)",
    ]


def test_the_outputs_are_kept_if_asked_and_if_they_fit(run):
    workdir, best = run
    _, model, fresh = make_drawn()
    state, lines = initialise(fresh, model, workdir, True)
    check_same(state.params, best.ema_params)
    assert state.ema_params is None
    assert len(lines) == 1
    _, model, fresh = make_drawn(num_outputs=5)
    with pytest.raises(
        UserError,
        match=r"(?s)other shapes.*outputs/.*\(37,\) instead of \(5,\).*keep_head",
    ):
        initialise(fresh, model, workdir, True)


def test_without_scores_the_newest_is_taken(tmp_path):
    config, model, state = make_drawn()
    newer = state.replace(params=plus(state.params, 1.0))
    workdir = write_run(tmp_path, config, {3: (state, None), 6: (newer, None)})
    started, lines = initialise(state, model, workdir, True)
    check_same(started.params, newer.params)
    assert "parameters of step 6 (newest)" in lines[0]


def test_what_a_network_lacks_in_hidden_layers_stays_fresh(tmp_path):
    config, model, state = make_drawn(make_config=make_view_config, model__hidden=(4,))
    workdir = write_run(tmp_path, config, {3: (state, None)})
    _, model, fresh = make_drawn(make_config=make_view_config, seed=1)
    with pytest.raises(UserError, match="other shapes"):
        initialise(fresh, model, workdir, True)
    started, lines = initialise(fresh, model, workdir, False)
    check_same(started.params["hidden1"], state.params["hidden1"])
    check_same(started.params["hidden2"], fresh.params["hidden2"])
    assert started.batch_stats == {}
    assert lines[-1] == "note: config.model.hidden is [4] there, [4, 3] here"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model__planes": (1, 2, 2, 2, 3, 4)},
            r"planes is \[1, 2, 2, 2, 3, 3\] there",
        ),
        ({"model__group": "p4"}, "group is 'p4m', and the one here has 'p4'"),
        ({"model__hidden": 9}, "hidden is 8 there, 9 here"),
        ({"make_config": make_view_config}, "a network 'group_cnn', .* ViewNet"),
    ],
)
def test_a_run_of_another_network_is_refused(changes, message, run):
    _, model, fresh = make_drawn(**changes)
    with pytest.raises(UserError, match=f"(?s){run[0]}.*{message}"):
        initialise(fresh, model, run[0], False)


def test_p4m_is_d4_and_no_other_group():
    model = SteerableCNN(98, 5, "d4", filters="free", paddings=(0, 0, 0, 0))
    network = {"name": "steerable_cnn", "group": "p4m", "filters": "free"}
    assert _network_of({"config": {"model": network}}, "run", model)
    for key, value in (("group", "c8"), ("filters", "steerable")):
        with pytest.raises(UserError, match=f"whose {key} is '{value}'"):
            _network_of({"config": {"model": network | {key: value}}}, "run", model)


def test_what_holds_no_weights_is_refused(run, tmp_path):
    config, model, fresh = make_drawn()
    with pytest.raises(UserError, match="holds no checkpoint"):
        initialise(fresh, model, tmp_path, False)
    (tmp_path / layout.CHECKPOINTS).mkdir()
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        initialise(fresh, model, tmp_path, False)
    with pytest.raises(UserError, match="there is no file"):
        initialise(fresh, model, tmp_path / "absent.pth", False)
    path = save(tmp_path, {"conv1.weight": np.ones(3)})
    with pytest.raises(UserError, match="only start a ResNet"):
        initialise(fresh, model, path, False)
    broken = fresh.replace(params=plus(fresh.params, np.inf))
    write_run(tmp_path / "broken", config, {3: (broken, None)})
    with pytest.raises(UserError, match="NaN or infinity"):
        initialise(fresh, model, tmp_path / "broken", False)
