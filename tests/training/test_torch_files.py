"""Files of torch.save are read to the bit, and nothing in them is run."""

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from gzjax.errors import UserError
from gzjax.training.weights.torch_files import read_state_dict

DATA = Path(__file__).parent.parent / "fixtures"  # made by tests/torch_files.py
TENSOR = (
    "}}Vw\nctorch._utils\n_rebuild_tensor_v2\n"
    "((Vstorage\nctorch\n{storage}\nV0\nVcpu\nI{numel}\ntQ"
    "I{offset}\n({shape}t({strides}tI00\nNtRs."
)


def test_every_type_comes_back():
    tensors = read_state_dict(DATA / "types.pth")
    exact = np.array([[0, 1, 2.5], [3, 100.25, 7]])
    for name in ("float32", "float64", "float16", "parameter"):
        np.testing.assert_array_equal(tensors[name], exact)
    for name in ("float32", "float64", "float16", "int64", "int32", "uint8", "bool"):
        assert tensors[name].dtype == name
    # Eight bits of mantissa.
    assert tensors["bfloat16"].dtype == "float32"
    np.testing.assert_array_equal(tensors["bfloat16"], [[0, 1, 2.5], [3, 100, 7]])
    for name in ("int64", "int32", "uint8"):
        np.testing.assert_array_equal(tensors[name], [[0, 1, 2], [3, 100, 7]])
    np.testing.assert_array_equal(tensors["bool"], [[False, True, True], [True] * 3])
    assert tensors["scalar"].shape == ()
    assert tensors["scalar"] == 5
    assert tensors["empty"].shape == (0, 3)


# The last two wrap it, as "state_dict" with "module." before the names, and "model".
@pytest.mark.parametrize("name", ["strided", "wrapped", "model"])
def test_windows_on_a_storage_are_the_right_numbers(name):
    tensors = read_state_dict(DATA / f"{name}.pth")
    numbers = np.arange(24.0).reshape(2, 3, 4)
    assert set(tensors) == {"turned", "thinned", "last", "channels_last"}
    np.testing.assert_array_equal(tensors["turned"], numbers.transpose(2, 0, 1))
    np.testing.assert_array_equal(tensors["thinned"], numbers[:, ::2, 1::2])
    np.testing.assert_array_equal(tensors["last"], [20, 21, 22, 23])
    np.testing.assert_array_equal(
        tensors["channels_last"], np.arange(16.0).reshape(1, 2, 2, 4)
    )


def test_a_networks_own_state_dict_is_read():
    tensors = read_state_dict(DATA / "trained.pth")
    np.testing.assert_array_equal(tensors["0.weight"].ravel(), [1, 2])
    np.testing.assert_array_equal(tensors["1.running_var"], [1, 1])
    assert tensors["1.num_batches_tracked"] == 0


def test_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"run io\.open .* refused"):
        read_state_dict(DATA / "malicious.pth")
    assert not list(tmp_path.iterdir())


def test_the_malicious_file_would_have_done_harm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(DATA / "malicious.pth") as archive:
        content = archive.read("malicious/data.pkl")
    code = content[content.index(b"cio\nopen") :]
    pickle.loads(code[: code.index(b"R") + 1] + b".").close()
    assert (tmp_path / "made-by-a-pickle").exists()


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "torch FloatTensor",
        "collections Counter",
        "torch._utils _rebuild_tensor_v2.__globals__",
        "builtins getattr",
    ],
)
def test_only_the_names_of_a_state_dict_are_known(name, tmp_path):
    module, function = name.split()
    proto4 = pickle.dumps(module, 4)[:-1] + pickle.dumps(function, 4)[2:-1] + b"\x93."
    for code in (f"c{module}\n{function}\n.".encode(), proto4):
        with pytest.raises(UserError, match=f"wants to run {module}.{function} "):
            read_state_dict(saved(tmp_path, code))


@pytest.mark.parametrize(
    "code",
    [
        "ctorch._utils\n_rebuild_tensor_v2\n(N}V__func__\nN{}stb.",
        "ctorch\nFloatStorage\n}Vx\nNsb.",
        "ccollections\nOrderedDict\n(N}V__init__\nNstb.",
        "ccollections\nOrderedDict\n}V__init__\nNsb.",
    ],
)
def test_what_a_pickle_is_given_it_cannot_change(code, tmp_path):
    init = collections.OrderedDict.__init__
    with pytest.raises(UserError, match="cannot be read"):
        read_state_dict(saved(tmp_path, code.encode()))
    assert collections.OrderedDict.__init__ is init


def window(storage="FloatStorage", numel=4, offset=0, shape=(2, 2), strides=(2, 1)):
    shape, strides = ("".join(f"I{n}\n" for n in ns) for ns in (shape, strides))
    code = TENSOR.format(
        storage=storage, numel=numel, offset=offset, shape=shape, strides=strides
    )
    return code.encode()


def saved(folder, content, numbers=(0, 1, 2, 3), name="weights.pth", **options):
    path = folder / name
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("a/data.pkl", content)
        archive.writestr("a/data/0", np.array(numbers, "<f4").tobytes())
    return path


def test_windows_must_lie_in_their_storage(tmp_path):
    path = saved(tmp_path, window(strides=(1, 2)))
    np.testing.assert_array_equal(read_state_dict(path)["w"], [[0, 2], [1, 3]])
    for wrong in (
        {"offset": 1},
        {"strides": (3, 1)},
        {"shape": (5,), "strides": (1,)},
        {"shape": (10**12,), "strides": (0,)},
        {"shape": (2**33, 2**33), "strides": (0, 0)},
        {"offset": -1},
        {"strides": (-2, 1)},
        {"shape": (2,)},
        {"numel": 5},
        {"numel": 10**15},
        {"storage": "LongStorage"},
    ):
        with pytest.raises(UserError, match="cannot be read"):
            read_state_dict(saved(tmp_path, window(**wrong)))


def test_no_file_takes_more_memory_than_it_is_long(tmp_path):
    many = saved(tmp_path, window(), np.zeros(10**6), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="larger than the file"):
        read_state_dict(many)
    # An object with a number near 2^32: the unpickler would make a table for so many.
    with pytest.raises(UserError, match="numbers objects"):
        read_state_dict(saved(tmp_path, b"\x80\x02}r\xfe\xff\xff\xff."))


def test_file_from_before_pytorch_1_6_is_to_be_saved_again(tmp_path):
    path = tmp_path / "old.pt"  # how such a file begins
    path.write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    with pytest.raises(UserError, match=r"PyTorch before 1\.6: load it there and save"):
        read_state_dict(path)


def test_no_truncation_goes_unnoticed(tmp_path):
    data = (DATA / "types.pth").read_bytes()
    path = tmp_path / "types.pth"
    for length in (*range(0, len(data), 7), len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"cannot be read.*torch\.save\("):
            read_state_dict(path)


def test_bytes_at_random_never_do_worse_than_an_error(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("types.pth", "wrapped.pth"):
        original = np.frombuffer((DATA / name).read_bytes(), np.uint8)
        for _ in range(150):
            data = original.copy()
            data[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
            (tmp_path / name).write_bytes(data.tobytes())
            try:
                read_state_dict(tmp_path / name)
            except UserError:
                continue


def test_safetensors_are_read(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"module.a": np.eye(2), "module.b": np.ones(3)}, path)
    tensors = read_state_dict(path)
    assert set(tensors) == {"a", "b"}
    np.testing.assert_array_equal(tensors["a"], np.eye(2))
    for dtype, ok in (("BF16", True), ("I16", False)):
        header = f'{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,2]}}}}'
        path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + b"\x80\xbf")
        if ok:
            np.testing.assert_array_equal(read_state_dict(path)["w"], [-1])
        else:
            with pytest.raises(UserError, match="w is of the type I16"):
                read_state_dict(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="cannot be read"):
        read_state_dict(path)


def test_what_is_no_state_dict_is_said(tmp_path):
    for code, message in (
        (b"}.", "holds no tensors"),
        (b"]\x94.", "holds a list"),
        (b"}Va\nI1\ns.", r"other things than tensors: a\."),
    ):
        with pytest.raises(UserError, match=message):
            read_state_dict(saved(tmp_path, code))
    for name, message in (
        ("weights.h5", "named .safetensors, .pth or .pt"),
        ("absent.pth", "no file"),
    ):
        with pytest.raises(UserError, match=message):
            read_state_dict(tmp_path / name)
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(UserError, match="no file"):
        read_state_dict(tmp_path / "folder.pth")
    stream = io.BytesIO()
    np.savez(stream, w=np.ones(3))
    (tmp_path / "weights.pt").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="it is a zip, but not of"):
        read_state_dict(tmp_path / "weights.pt")
