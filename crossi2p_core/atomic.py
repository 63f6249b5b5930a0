"""Write files so that a reader sees the former content or the new one, never half of either."""

import os
import tempfile
from pathlib import Path

from .errors import InputError


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replace `path` by `data` in one step; parent folders are made.

    Raises InputError, with the reason in words, where the place cannot be written; nothing is left behind then.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose a folder you may write to") from error


def write_text(path: str | Path, text: str) -> None:
    """Replace the text file `path` in one step (UTF-8); errors as `write_bytes`."""
    write_bytes(path, text.encode())


def _umask() -> int:
    """The process's umask: mkstemp makes files private, saved results should be as readable as any other."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
