"""Median times of the geometry functions that run in hot loops, on one core: `python benchmarks/geometry.py`.

Budgets: visibility of a full scan 50 ms, voxel downsampling of 120 000 points 20 ms.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from crossi2p_core.geometry import se3
from crossi2p_core.geometry.visibility import point_spacing, visible_mask
from crossi2p_core.geometry.voxels import voxel_downsample
from crossi2p_core.types import Camera

K = np.array([[720.0, 0, 620], [0, 720, 187], [0, 0, 1]])
CAMERAS = {
    "none": Camera(K, 1242, 375),
    "plumb_bob": Camera(K, 1242, 375, "plumb_bob", np.array([-0.3, 0.1, 1e-3, -1e-3, 0.0])),
    "rational_polynomial": Camera(K, 1242, 375, "rational_polynomial",
                                  np.array([0.5, -2.7, 1e-3, -1e-3, 1.6, 0.4, -2.5, 1.5])),
    "equidistant": Camera(K, 1242, 375, "equidistant", np.array([-0.02, 4e-3, -3e-3, 5e-4])),
}


def spinning_scan(beams: int = 64, columns: int = 1875) -> np.ndarray:
    """(beams * columns, 3) float32 points of a sensor 1.7 m above a road between bent walls."""
    azimuth = np.repeat(np.linspace(-np.pi, np.pi, columns, endpoint=False), beams)
    elevation = np.tile(np.radians(np.linspace(2, -24.8, beams)), columns)
    wall = 12 + 6 * np.sin(3 * azimuth)
    reach = np.minimum(wall, 1.7 / np.maximum(1e-3, -np.tan(elevation)))
    xyz = np.stack([np.cos(azimuth) * reach, np.sin(azimuth) * reach, np.tan(elevation) * reach], -1)
    return xyz.astype(np.float32)


def median_ms(function: Callable[[], object], repeats: int) -> float:
    """Median wall time in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def cases() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    scan, rng = spinning_scan(), np.random.default_rng(0)
    axes = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    T_cam_lidar = se3.make(axes, [0.0, -0.1, -0.3])
    points = se3.transform(T_cam_lidar, scan)
    uv, inside = CAMERAS["none"].project(points)
    spacing = point_spacing(uv[inside], 1242, 375)
    dense = rng.uniform((0, 0), (1241, 374), (120_000, 2)).astype(np.float32)
    depth, everywhere = rng.uniform(5, 50, 120_000).astype(np.float32), np.ones(120_000, dtype=bool)
    pixels = np.stack(np.meshgrid(np.arange(512.0), np.arange(160.0)), -1)
    twists = rng.normal(size=(1000, 6))
    motions = se3.exp_se3(twists)
    table: dict[str, Callable[[], object]] = {
        "se3.transform, 120 000 points": lambda: se3.transform(T_cam_lidar, scan),
        "se3.exp_se3, one": lambda: se3.exp_se3(twists[0]),
        "se3.exp_se3, 1000": lambda: se3.exp_se3(twists),
        "se3.log_se3, 1000": lambda: se3.log_se3(motions),
        "visible_mask, 120 000 points, camera sees a part": lambda: visible_mask(uv, points[:, 2], inside, 1242, 375),
        "  the same, spacing known": lambda: visible_mask(uv, points[:, 2], inside, 1242, 375, spacing),
        "visible_mask, 120 000 points, all in the image": lambda: visible_mask(dense, depth, everywhere, 1242, 375),
        "voxel_downsample, 120 000 points, 0.1 m": lambda: voxel_downsample(scan, 0.1),
        "voxel_downsample, 120 000 points, 0.5 m": lambda: voxel_downsample(scan, 0.5),
    }
    for name, camera in CAMERAS.items():
        table[f"project, 120 000 points, {name}"] = lambda camera=camera: camera.project(points)
        table[f"unproject, 160 x 512 pixels, {name}"] = lambda camera=camera: camera.unproject(pixels)
    return table


def main() -> None:
    """Print one line per function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for name, function in cases().items():
        function()
        print(f"{name:52s} {median_ms(function, repeats):8.2f} ms")


if __name__ == "__main__":
    main()
