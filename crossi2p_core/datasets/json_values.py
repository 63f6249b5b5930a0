"""Read JSON that somebody else wrote: every wrong type, shape or number becomes one sentence that names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.se3 import check_transform
from ..safe_yaml import unique_keys
from ..types import Camera

MAX_SIZE = 100_000  # pixels per side
MAX_NUMBER = 1e12  # above any pixel, coefficient, metre or second since 1970; what is not finite fails the same test


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file; raises InputError where it is unreadable, no JSON, or no object."""
    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=unique_keys)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    except KeyError as error:
        raise InputError(f"{path} has {error.args[0]!r} twice; leave one of them out") from error
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or an integer of thousands of digits
        raise InputError(f"{path} is not valid JSON; write it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object with names and values, not a {type(value).__name__}")
    return value


def read_array(value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """A float64 array of `shape` (-1: any length), finite and below MAX_NUMBER, given nested or flat.

    `what` names it in the InputError.
    """
    try:
        array = np.array(value)
        usable = array.dtype.kind in "iuf" and bool((np.abs(array) < MAX_NUMBER).all())
        if usable or array.size == 0:
            return array.astype(np.float64).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        pass
    words = {(): "one finite number", (-1,): "a list of finite numbers"}
    raise InputError(f"{what} must be {words.get(shape) or 'x'.join(map(str, shape)) + ' finite numbers'}")


def read_camera(calibration: Mapping[str, Any], where: str, size: tuple[int, int] | None = None) -> Camera:
    """The camera described by K, D, distortion_model, width and height.

    size: (width, height) of the image, taken where the calibration tells none. Raises InputError; `where` names the
    calibration in it.
    """
    if "K" not in calibration:
        raise InputError(f"{where} has no K; add the 3x3 camera matrix")
    K = read_array(calibration["K"], (3, 3), f"K in {where}")
    D = read_array(calibration.get("D") or [], (-1,), f"D in {where}")
    model = calibration.get("distortion_model") or ""  # without a name the coefficients decide
    if not isinstance(model, str):
        raise InputError(f"distortion_model in {where} must be a word such as plumb_bob")
    if model.lower() not in ("", "none", "pinhole") and "D" not in calibration:
        raise InputError(f"{where} names the distortion_model {model} and has no D; add its coefficients")
    width, height = (_side(calibration.get(key), key, where, size and size[k]) for k, key in
                     enumerate(("width", "height")))
    try:
        return Camera.from_info(list(K.ravel()), list(D), model, width, height)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def read_transform(value: Any, what: str) -> np.ndarray | None:
    """A (4, 4) float64 rigid transform, or None for null; raises InputError where the value is anything else."""
    return None if value is None else check_transform(read_array(value, (4, 4), what), what)


def read_number(value: Any, what: str) -> float | None:
    """A finite number, or None for null; raises InputError where the value is anything else."""
    return None if value is None else float(read_array(value, (), what))


def _side(value: Any, key: str, where: str, known: int | None) -> int:
    if value is None and known is not None:
        return known
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MAX_SIZE or value % 1:
        raise InputError(f"{key} in {where} must be a whole number of pixels")
    return int(value)
