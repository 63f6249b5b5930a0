"""The ascii bodies of PCD and PLY files: a known number of lines of a known number of numbers."""

import io
import warnings
from pathlib import Path

import numpy as np

from ..errors import InputError


def read_rows(body: bytes, rows: int, columns: int, path: Path, skip: int = 0) -> np.ndarray:
    """(rows, columns) float64 after `skip` lines; `nan` and `inf` are numbers here.

    Raises InputError, naming `path`, where there are fewer lines, another number of columns, or other text.
    """
    if rows == 0:
        return np.zeros((0, columns))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy's "no data" is told below, as an error
            table = np.loadtxt(io.BytesIO(body), ndmin=2, skiprows=skip, max_rows=rows, comments=None)
    except ValueError as error:
        raise InputError(f"the points of {path} are not a table of numbers; write the cloud again") from error
    if table.shape != (rows, columns):
        raise InputError(f"the cloud {path} is truncated: {table.shape[0]} points of {table.shape[1]} numbers stand in "
                         f"it, its header tells of {rows} of {columns}")
    return table


def as_type(column: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(N,) numbers of a text as what the header calls them, where it calls them whole: that tells their unit."""
    bounds = np.iinfo(dtype) if dtype.kind in "iu" else None
    if bounds is None or not ((bounds.min <= column) & (column <= bounds.max)).all():  # NaN is not
        return column
    return column.astype(dtype)
