"""Tables come back as they were written, whole or not at all."""

import csv
import resource
import sys

import numpy as np
import pytest
from astropy.table import Table
from pyarrow import parquet

from gzjax.errors import UserError
from gzjax.prediction.table_files import Column, open_table

COLUMNS = (
    Column("name", str, "GalaxyID or file name"),
    Column("words", str, 'it\'s: "a, b" {c} # d'),
    Column("x", float, "a share, P(x | asked)"),
)
COMMENT = "gzjax: a table\nof a: 'run', # 3"
ROWS = {
    "name": np.array(["100008", "#1.jpg", 'a "b", c.png', "é.jpg"]),
    "words": np.array(["face-on, barred", "smooth", "", "nan"]),
    "x": np.array([0.5, 1 / 3, np.nan, 1e-9]),
}
SUFFIXES = (".csv", ".parquet", ".ecsv")


def write(path, chunks=(ROWS,), comment=COMMENT):
    with open_table(path, COLUMNS, comment) as append:
        for chunk in chunks:
            append(chunk)


def read(path):
    """The text columns as lists, and x as an array with NaN."""
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        table = {name: [row[i] for row in rows] for i, name in enumerate(header)}
        x = [float(field) if field else np.nan for field in table["x"]]
    elif path.suffix == ".parquet":
        table = parquet.read_table(path).to_pydict()
        x = table["x"]
    else:
        table = Table.read(path, format="ascii.ecsv")
        table = {name: table[name].tolist() for name in table.colnames}
        table["words"] = [word or "" for word in table["words"]]  # "" is masked
        x = table["x"]
    return table["name"], table["words"], np.array(x, float)


@pytest.mark.parametrize("comment", [COMMENT, ""])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_comes_back(tmp_path, suffix, comment):
    path = tmp_path / f"table{suffix}"
    write(path, comment=comment)
    name, words, x = read(path)
    assert name == ROWS["name"].tolist()
    assert words == ROWS["words"].tolist()
    tolerance = 0 if suffix == ".parquet" else 5e-7  # 6 decimals
    np.testing.assert_allclose(x, ROWS["x"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_may_have_no_rows_and_a_suffix_in_capitals(tmp_path, suffix):
    path = tmp_path / f"table{suffix.upper()}"
    write(path, chunks=[])
    name, words, x = read(path.rename(path.with_suffix(suffix)))
    assert (name, words, len(x)) == ([], [], 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_chunks_make_the_same_table(tmp_path, suffix):
    whole, chunked = tmp_path / f"whole{suffix}", tmp_path / f"chunked{suffix}"
    write(whole)
    rows = ([0], [1, 2, 3])
    write(chunked, [{name: x[i] for name, x in ROWS.items()} for i in rows])
    assert read(chunked)[:2] == read(whole)[:2]
    np.testing.assert_array_equal(read(chunked)[2], read(whole)[2])
    if suffix == ".parquet":
        assert parquet.ParquetFile(chunked).num_row_groups == 2
    else:
        assert chunked.read_bytes() == whole.read_bytes()


def test_csv_is_short_and_needs_no_library(tmp_path, monkeypatch):
    for library in ("pyarrow", "astropy"):
        monkeypatch.setitem(sys.modules, library, None)
    path = tmp_path / "TABLE.CSV"  # in capitals, too
    write(path)
    assert path.read_text(encoding="utf-8") == (
        "name,words,x\n"
        '100008,"face-on, barred",0.5\n'
        "#1.jpg,smooth,0.333333\n"
        '"a ""b"", c.png",,\n'
        "é.jpg,nan,0.0\n"
    )


def test_parquet_says_what_it_is(tmp_path):
    write(tmp_path / "table.parquet")
    schema = parquet.read_schema(tmp_path / "table.parquet")
    assert schema.metadata[b"comment"].decode() == COMMENT
    for column in COLUMNS:
        field = schema.field(column.name)
        assert str(field.type) == {str: "string", float: "double"}[column.type]
        assert field.metadata[b"description"].decode() == column.description


def test_ecsv_says_what_it_is(tmp_path):
    write(tmp_path / "table.ecsv")
    table = Table.read(tmp_path / "table.ecsv")
    assert table.meta["comments"] == COMMENT.splitlines()
    assert table["x"].dtype == np.float64
    for column in COLUMNS:
        assert table[column.name].description == column.description


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    path.write_text("old")

    def chunks():
        yield ROWS
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, chunks())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    many = {
        "name": np.arange(50_000).astype(str),
        "words": np.full(50_000, "smooth"),
        "x": np.random.default_rng(0).random(50_000),
    }
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"table{suffix}"):
            write(path, [many, many])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_place_that_cannot_be_written_is_told_before_any_row(tmp_path, suffix):
    (tmp_path / "file").touch()
    for place in (f"missing/t{suffix}", f"file/t{suffix}"):
        with pytest.raises(OSError, match=rf"t{suffix}"):
            write(tmp_path / place, iter(pytest.fail, None))


@pytest.mark.parametrize("name", ["table.fits", "table", "csv", "table.csv.gz"])
def test_an_unknown_suffix_is_refused_with_those_there_are(tmp_path, name):
    with pytest.raises(UserError, match=r"\.csv, \.parquet, \.ecsv"):
        write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "library"), [(".parquet", "pyarrow"), (".ecsv", "astropy")]
)
def test_a_missing_library_is_told(tmp_path, monkeypatch, suffix, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"{library}.*\n.*gzjax\[tables\]"):
        write(tmp_path / f"table{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("chunk", "problem"),
    [
        ({"name": ROWS["name"]}, "not its columns"),
        (dict(reversed(ROWS.items())), "not its columns"),
        (ROWS | {"x": ROWS["x"][:2]}, "shorter"),
    ],
)
def test_chunks_must_fit(tmp_path, chunk, problem):
    with pytest.raises(ValueError, match=problem):
        write(tmp_path / "table.csv", [chunk])
    assert list(tmp_path.iterdir()) == []
