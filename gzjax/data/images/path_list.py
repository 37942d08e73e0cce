"""Reads a CSV that lists image files: a column of paths, perhaps one of names."""

import csv
from pathlib import Path

from gzjax.data.csv_rows import csv_rows
from gzjax.errors import READ_ERRORS, Problems, UserError, first_few, reason
from gzjax.files import open_regular

# Looked for in this order, whatever their case.
PATH_COLUMNS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "file_loc",
    "image",
    "image_path",
)
NAME_COLUMNS = ("id", "galaxyid", "galaxy_id", "id_str", "name")


def read_cutout_list(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Reads the list; does not open the files themselves.

    Args:
        path: of the CSV: UTF-8 (a BOM is accepted), commas, a header, a row per image.
            Paths are in the first of ``PATH_COLUMNS`` that the header has, names in
            the first of ``NAME_COLUMNS``; spaces around them are dropped.

    Returns:
        The paths as they are written, in the file's order; and the names, unique and
        not empty, or None if no column has them. Paths are then unique.

    Raises:
        UserError: the CSV cannot be read, has no column of paths, no rows, or has wrong
            rows; gives their lines.
    """
    try:
        with open_regular(path) as stream:
            rows = list(csv_rows(stream))
    except (csv.Error, *READ_ERRORS) as error:
        raise UserError(
            f"{path}: cannot be read as a table: {reason(error)}\n"
            "What to do: save it as CSV, in UTF-8, with commas"
        ) from error
    _, header = rows.pop(0) if rows else (1, [])
    path_at, name_at = _find(header, PATH_COLUMNS), _find(header, NAME_COLUMNS)
    if path_at is None:
        raise UserError(
            f"{path}: no column of paths: the header (line 1) has "
            f"{first_few(header, 10) or 'nothing'}; looked for: "
            f"{', '.join(PATH_COLUMNS)}\nWhat to do: name the column 'path'"
        )
    if not rows:
        raise UserError(
            f"{path}: no images: it has no row after the header\n"
            "What to do: add a row per image"
        )
    problems = Problems()
    broken = [line for line, row in rows if len(row) != len(header)]
    problems.add(f"rows without {len(header)} fields", "line", broken)
    rows = [(line, row) for line, row in rows if len(row) == len(header)]

    def column(at: int) -> tuple[str, ...]:
        return tuple(row[at].strip() for _, row in rows)

    names = column(path_at if name_at is None else name_at)
    _check_unique(names, [line for line, _ in rows], problems)
    problems.raise_if_any(
        f"{path}: the list of images is not usable",
        "What to do: correct these lines; each lists one image file, and no name is "
        "there twice",
    )
    return column(path_at), None if name_at is None else names


def _find(header: list[str], wanted: tuple[str, ...]) -> int | None:
    columns = [column.strip().lower() for column in header]
    return next((columns.index(name) for name in wanted if name in columns), None)


def _check_unique(names: tuple[str, ...], lines: list[int], problems: Problems) -> None:
    first: dict[str, int] = {}
    numbered = list(zip(names, lines, strict=True))
    twice = [
        f"{first[name]} and {line} ('{name}')"
        for name, line in numbered
        if name and first.setdefault(name, line) != line
    ]
    problems.add("names given twice", "line", twice)
    unnamed = [line for name, line in numbered if not name]
    problems.add("rows without a name", "line", unnamed)
