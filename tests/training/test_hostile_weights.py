"""Weights meant to do harm: refused before they are unpacked, printed or believed."""

import json
import struct
import zipfile

import pytest
from hostile import refusal, watched

from gzjax.training.weights.torch_files import read_state_dict


@pytest.fixture
def folder(tmp_path):
    with watched(tmp_path) as inside:
        yield inside


def tensors(header, data=bytes(8)):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def entry(start, stop, shape=(1,)):
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**9) + b"{}",
        tensors({"a": entry(0, 4), "b": entry(0, 4)}),
        tensors({"a": entry(0, 2**40, (2**38,))}),
        tensors({"a": entry(2**40, 2**40 + 4)}),
        tensors({"a": entry(4, 0)}),
        tensors({"a": entry(-4, 0)}),
        tensors({"a": entry(0, 8, (2**62, 4))}),
        tensors({"a": entry(0, 8, (10**30,))}),
        tensors({"a": entry(0, 4)}),
        tensors(b'{"a":' * 10**5),
        tensors({"a": {"dtype": "os.system", "shape": [2], "data_offsets": [0, 8]}}),
    ],
)
def test_safetensors_whose_header_lies_are_refused(content, folder):
    path = folder / "w.safetensors"
    path.write_bytes(tensors({"a": entry(0, 8, (2,))}))
    assert read_state_dict(path)["a"].shape == (2,)
    path.write_bytes(content)
    assert f"{path} cannot be read" in refusal(read_state_dict, path)


def test_zip_of_weights_that_inflates_is_refused(folder):
    path = folder / "w.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"}.")
        archive.writestr("a/data/0", bytes(1 << 20))
        start = archive.start_dir
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", start + 4)
    data[second + 24 : second + 28] = struct.pack("<I", 8)  # it claims, of 1 MiB
    path.write_bytes(data)
    assert "its parts are compressed" in refusal(read_state_dict, path)


def test_messages_about_pickles_do_not_print_what_is_in_them(folder):
    # Lists of five times the list before: 5^40 elements, were they printed.
    code = b"\x80\x04]\x94"
    for i in range(40):
        code += b"(" + (b"h" + bytes([i])) * 5 + b"l\x94"
    with zipfile.ZipFile(folder / "w.pth", "w") as archive:
        archive.writestr("a/data.pkl", code + b"Q.")
    assert "refers to something unknown" in refusal(read_state_dict, folder / "w.pth")
