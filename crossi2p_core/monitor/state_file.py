"""The watch on disk: what it knew before a restart counts after it, for the same calibration."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from .. import atomic
from ..errors import InputError
from ..safe_yaml import read_plain
from .config import MonitorConfig
from .watch import Watch

Array = np.ndarray


def write_watch(path: Path, watch: Watch) -> None:
    """Atomically. Raises InputError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, json.dumps(watch.to_dict(), allow_nan=False))
    except OSError as error:
        raise InputError(f"cannot write the watch's state to {path}: {error.strerror or error}; name a file that can "
                         "be written") from error


def read_watch(path: Path, T_in_use: Array | None, config: MonitorConfig | None = None) -> Watch | None:
    """The watch of a file; None where there is none, or where another calibration than T_in_use (4, 4) was watched;
    T_in_use None: whichever it was. Raises InputError for a file that is no watch's."""
    if not path.exists():
        return None
    watch = Watch.from_dict(read_plain(path), config)
    if T_in_use is not None and not np.allclose(watch.T_in_use, T_in_use, atol=1e-7):
        print(f"crossi2p: {path} is of another calibration than the one in use; the watch begins anew", file=sys.stderr)
        return None
    return watch
