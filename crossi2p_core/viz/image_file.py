"""Write a picture to disk in one step."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .. import atomic
from ..errors import InputError


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB; the ending of `path` (.png, .jpg, ...) chooses the format.

    Raises InputError for an ending that is no picture format and for a place that cannot be written; a former file
    stays whole then.
    """
    path = Path(path)
    try:
        encoded, data = cv2.imencode(path.suffix or "?", np.ascontiguousarray(image[..., ::-1]))
    except cv2.error:
        encoded = False
    if not encoded:
        raise InputError(f"cannot write a picture as {path}; let its name end in .png or .jpg")
    atomic.write_bytes(path, data.tobytes())
