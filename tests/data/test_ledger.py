"""Resumable work resumes after any interruption, and never as other work."""

import json

import pytest

from gzjax.data.ledger import (
    Ledger,
    alone_in,
    check_replaces,
    check_same,
    differences,
    read_done,
)
from gzjax.errors import UserError

IDENTITY = {"kind": "jpeg", "size": (2, 3), "versions": {"numpy": "2.1"}}
TO_DO = "What to do: remove it"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "progress.jsonl"


def test_results_come_back(path):
    assert read_done(path, IDENTITY, TO_DO) == {}
    ledger = Ledger(path, IDENTITY, {7: "begun"})
    ledger.add({0: {"name": "ä\n"}, "b": [1, None]})
    ledger.add({7: "again"})
    assert ledger.done == {7: "again", 0: {"name": "ä\n"}, "b": [1, None]}
    assert read_done(path, IDENTITY, TO_DO) == ledger.done
    ledger.remove()
    assert not list(path.parent.iterdir())


def test_it_is_resumed_wherever_it_is_torn(path):
    ledger = Ledger(path, IDENTITY, {})
    begun = path.stat().st_size
    for number in range(3):
        ledger.add({number: number})
    whole = path.read_bytes()
    for length in range(begun, len(whole) + 1):
        path.write_bytes(whole[:length])
        done = read_done(path, IDENTITY, TO_DO)
        assert done == {n: n for n in range(len(done))}
        assert len(done) >= whole[begun:length].count(b"\n")
        Ledger(path, IDENTITY, done).add({"next": 1})
        assert read_done(path, IDENTITY, TO_DO) == {**done, "next": 1}
    path.write_bytes(whole + b"[" * 100_000 + b"\n")
    assert len(read_done(path, IDENTITY, TO_DO)) == 3


def test_what_is_added_is_on_the_disk(path, monkeypatch):
    ledger, seen = Ledger(path, IDENTITY, {}), []
    monkeypatch.setattr("os.fsync", lambda file: seen.append(path.read_text()))
    ledger.add({5: "five"})
    assert [text.splitlines()[-1] for text in seen] == ['[5, "five"]']


def test_a_failure_to_write_counts_nothing(path):
    ledger = Ledger(path, IDENTITY, {})
    with pytest.raises(TypeError):
        ledger.add({1: object()})
    assert ledger.done == {}


def test_another_identity_is_refused(path):
    Ledger(path, IDENTITY, {1: 1})
    before = path.read_bytes()
    other = {**IDENTITY, "kind": "pixels", "versions": {"numpy": "2.2"}}
    with pytest.raises(UserError) as error:
        read_done(path, other, TO_DO)
    assert str(error.value).splitlines() == [
        f"{path} was made under other conditions:",
        "  kind: 'jpeg' there, 'pixels' here",
        "  versions.numpy: '2.1' there, '2.2' here",
        TO_DO,
    ]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["", "\n", '{"kind": "jpeg"}\n', "[]\n", "[" * 100_000, '{"identity": 1}\n', "\0"],
)
def test_other_files_are_refused(path, text):
    path.write_text(text)
    with pytest.raises(UserError, match=rf"damaged, or of an older gzjax: .*\n{TO_DO}"):
        read_done(path, IDENTITY, TO_DO)


def test_a_folder_is_no_ledger(path):
    path.mkdir()
    with pytest.raises(UserError, match="not a regular file"):
        read_done(path, IDENTITY, TO_DO)


def test_identities_compare_as_they_come_back_from_a_file(path):
    check_same(json.loads(json.dumps(IDENTITY)), IDENTITY, path, TO_DO)


def test_a_study_replaces_only_one_of_its_conditions(tmp_path):
    path = tmp_path / "study.json"
    check_replaces(path, {"split": "all"})
    path.write_text('{"split": "valid", "layers": []}')
    check_replaces(path, {"split": "valid"})
    with pytest.raises(UserError, match=r"(?s)'valid' there, 'all' here.*--output"):
        check_replaces(path, {"split": "all"})
    path.write_text("{")
    with pytest.raises(UserError, match=r"cannot be read: .*another --output"):
        check_replaces(path, {"split": "valid"})


def test_differences_are_short_and_dotted():
    there = {"a": {"b": 1, "c": {"d": 2}}, "same": 0, "gone": "x" * 999}
    here = {"a": {"b": 1, "c": {"d": 3}, "new": None}, "same": 0}
    lines = differences(there, here)
    assert lines[:2] == [
        "  a.c.d: 2 there, 3 here",
        "  a.new: 'absent' there, None here",
    ]
    assert len(lines) == 3
    assert len(lines[2]) < 120


def test_two_at_once_are_refused(tmp_path):
    folder = tmp_path / "set"
    refused = pytest.raises(UserError, match="another process is writing")
    with alone_in(folder), refused, alone_in(folder):
        pass
    assert not folder.exists()
    with alone_in(folder):
        (folder / "file").touch()
    assert folder.exists()
