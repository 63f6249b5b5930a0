"""Arrays from .npy and .npz files that may be damaged or hostile."""

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

from ..errors import InputError

# What numpy and zipfile raise on damaged bytes; RuntimeError is a flag that claims encryption or a newer zip.
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, MemoryError, OverflowError,
           RuntimeError, SyntaxError, TokenError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays by name; a .npy file's only one is called ``. Nothing is unpickled.

    Raises InputError for a damaged file, and OSError where it cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            return {name: loaded[name] for name in loaded.files}
    except _DAMAGE as error:
        raise InputError(f"the cloud {path} is not a complete numpy file of plain numbers; write it again") from error
