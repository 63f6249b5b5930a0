"""The watch on disk: what it knew before a restart counts after it, for the same calibration."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import atomic
from ..errors import InputError
from ..safe_yaml import read_json
from .config import MonitorConfig
from .watch import Watch

Array = np.ndarray
MAX_BYTES = 2 * 1024**2  # the largest window, 500 frames with long names, takes a quarter of it
SAME = 1e-6  # by which two matrices of one calibration may differ


def write_watch(path: Path, watch: Watch, beside: Mapping[str, Any] | None = None) -> None:
    """Atomically; folders are made. beside: what else is to stand in the file. Raises InputError where it cannot be
    written."""
    try:
        atomic.write_text(path, json.dumps(watch.to_dict() | dict(beside or {}), allow_nan=False))
    except InputError as error:
        raise InputError(f"the state of the watch is not kept: {error}") from error


def read_told(path: Path) -> Mapping[str, Any] | None:
    """What stands in the file, unchecked but for being a mapping; None where there is none. Raises InputError for a
    file that is no watch's, or cannot be read."""
    try:
        if not path.exists():
            return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    told = read_json(path, MAX_BYTES)
    if not isinstance(told, Mapping):
        raise InputError(f"{path} is no state of a watch; remove the file, and the watch begins anew")
    return told


def read_watch(path: Path, T_in_use: Array, config: MonitorConfig | None = None) -> Watch | None:
    """The watch of a file; None where there is none, or where another calibration than T_in_use (4, 4) was watched.
    Raises InputError for a file that is no watch's."""
    told = read_told(path)
    if told is None:
        return None
    watch = Watch.from_dict(told, config)
    if not np.allclose(watch.T_in_use, T_in_use, atol=SAME):
        print(f"crossi2p: {path} is of another calibration than the one in use; the watch begins anew", file=sys.stderr)
        return None
    return watch
