"""Files of vote fractions: their format, and what is said of a broken one."""

import numpy as np
import pytest

from gzjax.data.vote_files import read_votes, write_votes
from gzjax.errors import UserError

COLUMNS = ("Class1.1", "Class1.2", "Class1.3")


def test_format_of_the_files(tmp_path):
    path = tmp_path / "votes.csv"
    votes = np.array([[1 / 3, 0, 1], [1e-9, 0.25, 0.123456789]])
    write_votes(path, np.array([7, 5]), votes, COLUMNS)
    assert path.read_text() == (
        "GalaxyID,Class1.1,Class1.2,Class1.3\n"
        "7,0.33333333,0,1\n5,1e-09,0.25,0.12345679\n"
    )
    columns, ids, again = read_votes(path)
    assert columns == COLUMNS
    assert ids.dtype == np.int64
    assert ids.tolist() == [7, 5]
    np.testing.assert_allclose(again, votes, rtol=1e-7)


HEADER = b"GalaxyID,Class1.1,Class1.2\n"
BROKEN = {
    "line 1 is not a header": b"",
    "line 1 is not a header of GalaxyID": b"a,b\n1,2\n",
    "line 1 is not a header of GalaxyID and": b"GalaxyID,a,a\n1,2,3\n",
    "no row": HEADER,
    "line 3 has 2 fields, not 3": HEADER + b"1,0.5,0.5\n2,0.5",
    "line 3 has no end": HEADER + b"1,0.5,0.5\n2,0.5,0.",
    "line 3 has the id 1 of line 2 again": HEADER + b"1,0.5,0.5\n1,0.5,0.5\n",
    "line 2 has values that are not finite: nan": HEADER + b"1,0.5,nan\n",
    "line 2: could not convert string to float: 'x'": HEADER + b"1,x,0\n",
    "line 2 has a GalaxyID that is not a whole number: 1.5": HEADER + b"1.5,0,1\n",
    "line 2 is not UTF-8 text": HEADER + b"\xff\xfe,0,1\n",
    "line 2 is too long": HEADER + b"1,0," + b"1" * 200_000 + b"\n",
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_files(tmp_path, message):
    path = tmp_path / "votes.csv"
    path.write_bytes(BROKEN[message])
    with pytest.raises(UserError, match=f"votes.csv cannot be read: .*{message}"):
        read_votes(path)
