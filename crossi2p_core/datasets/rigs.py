"""Which samples share one camera and one extrinsic: labels that are equal exactly then."""

from __future__ import annotations

import hashlib

import numpy as np

from ..types import Camera


def rig_label(prefix: str, camera: Camera, T_cam_lidar: np.ndarray | None) -> str:
    """`prefix#digest`: equal for samples whose K, size, distortion and T_cam_lidar (4, 4) are equal, else different.

    Numbers are compared to 1e-6 px and 1e-9 m, far below any calibration's error, so that a round trip through a text
    file keeps the label.
    """
    digest = hashlib.sha256(f"{camera.model} {camera.width} {camera.height}".encode())
    digest.update(_rounded(camera.K, 6))
    digest.update(_rounded(camera.distortion, 9))
    digest.update(b"unknown" if T_cam_lidar is None else _rounded(T_cam_lidar, 9))
    return f"{prefix}#{digest.hexdigest()[:8]}"


def _rounded(values: np.ndarray, decimals: int) -> bytes:
    return (np.round(np.asarray(values, dtype=np.float64), decimals) + 0.0).tobytes()  # + 0.0 turns -0.0 into 0.0
