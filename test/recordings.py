"""Small recordings in the real layouts, written from known numbers: what the reader tests open."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48
K = np.array([[50.0, 0, 31.5], [0, 52.0, 23.0], [0, 0, 1]])
# A projection like KITTI's: K [I | t] with a baseline to the side and some millimetres of height and depth.
OFFSETS = {2: np.array([0.06, 0.0003, 0.0027]), 3: np.array([-0.47, 0.002, 0.0027])}
P = {camera: np.hstack([K, (K @ t)[:, None]]) for camera, t in OFFSETS.items()}
AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # LiDAR (x ahead, z up) to camera (z ahead, y down)


def turn(axis: list[float]) -> np.ndarray:
    """(3, 3) rotation by a rotation vector in radians, by OpenCV and so independent of our own."""
    return cv2.Rodrigues(np.array(axis))[0]


R_RECT = turn([0.01, -0.02, 0.005])
R_VELO = turn([0.02, 0.01, -0.015]) @ AXES
T_VELO = np.array([-0.004, -0.076, -0.27])
TR = np.hstack([R_VELO, T_VELO[:, None]])  # (3, 4)


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Write a picture that differs per seed; returns it as (H, W, 3) RGB."""
    rgb = np.random.default_rng(seed).integers(0, 255, (size[1] // 8, size[0] // 8, 3)).astype(np.uint8)
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, rgb[:, :, ::-1])[1].tobytes())
    return rgb


def scan(seed: int = 0, points: int = 200) -> np.ndarray:
    """(N, 4) float32 x, y, z, intensity in 0..1, ahead of the vehicle."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(4, 30, points), rng.uniform(-9, 9, points), rng.uniform(-2, 3, points),
                            rng.uniform(0, 1, points)]).astype(np.float32)


def write_scan(path: Path, seed: int = 0) -> np.ndarray:
    """Write a .bin scan; returns its (N, 4) rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(scan(seed).tobytes())
    return scan(seed)


def write_lines(path: Path, **lines: np.ndarray | str) -> None:
    """Write a KITTI calibration file, one `name: numbers` per argument."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = (f"{name}: {text if isinstance(text, str) else ' '.join(f'{v:.12e}' for v in np.ravel(text))}"
             for name, text in lines.items())
    path.write_text("\n".join(texts) + "\n")


def write_kitti_raw(date: Path, drive: str = "drive_0001_sync", frames: int = 3) -> Path:
    """A date folder with one drive of both colour cameras; returns the drive."""
    rect = {f"{key}_0{camera}": value for camera in (2, 3) for key, value in
            (("S_rect", np.array([WIDTH, HEIGHT])), ("P_rect", P[camera]))}
    write_lines(date / "calib_cam_to_cam.txt", calib_time="09-Jan-2012 13:57:47", R_rect_00=R_RECT, **rect)
    write_lines(date / "calib_velo_to_cam.txt", calib_time="15-Mar-2012 11:37:16", R=R_VELO, T=T_VELO)
    for index in range(frames):
        for camera in (2, 3):
            write_image(date / drive / f"image_0{camera}/data/{index:010d}.png", seed=10 * camera + index)
        write_scan(date / drive / f"velodyne_points/data/{index:010d}.bin", seed=index)
    stamps = "".join(f"2011-09-26 13:02:{25 + index}.964389445\n" for index in range(frames))
    for folder in ("image_02", "image_03", "velodyne_points"):
        (date / drive / folder / "timestamps.txt").write_text(stamps)
    return date / drive


def write_kitti_odometry(root: Path, sequence: str = "00", frames: int = 3, poses: bool = True) -> Path:
    """A dataset root with one sequence whose camera 0 moves 1 m ahead per frame; returns the sequence."""
    folder = root / "sequences" / sequence
    tr = R_RECT @ TR  # this layout's cameras are rectified already
    write_lines(folder / "calib.txt", P0=np.hstack([K, np.zeros((3, 1))]), P2=P[2], P3=P[3], Tr=tr)
    for index in range(frames):
        for camera in (2, 3):
            write_image(folder / f"image_{camera}/{index:06d}.png", seed=10 * camera + index)
        write_scan(folder / f"velodyne/{index:06d}.bin", seed=index)
    (folder / "times.txt").write_text("".join(f"{0.1 * index:e}\n" for index in range(frames)))
    if poses:
        rows = [np.hstack([np.eye(3), [[0], [0], [float(index)]]]).ravel() for index in range(frames)]
        (root / "poses").mkdir(exist_ok=True)
        np.savetxt(root / "poses" / f"{sequence}.txt", rows)
    return folder


def write_kitti_object(root: Path, frames: int = 3) -> Path:
    """`training` with one calibration per frame: the last frame's focal length differs; returns that folder."""
    folder = root / "training"
    for index in range(frames):
        scale = np.diag([1.1, 1.1, 1]) if index == frames - 1 else np.eye(3)
        write_image(folder / f"image_2/{index:06d}.png", seed=index)
        write_scan(folder / f"velodyne/{index:06d}.bin", seed=index)
        write_lines(folder / f"calib/{index:06d}.txt", P2=scale @ P[2], P3=P[3], R0_rect=R_RECT, Tr_velo_to_cam=TR)
    return folder


def write_pair(folder: Path, seed: int = 0, **changes: object) -> Path:
    """A pair folder; `changes` replace entries of its calib.json."""
    write_image(folder / "image.jpg", seed)
    write_scan(folder / "cloud.bin", seed)
    T = np.eye(4)
    T[:3] = TR
    calibration = {"K": K.tolist(), "D": [], "distortion_model": "none", "width": WIDTH, "height": HEIGHT,
                   "T_cam_lidar": T.tolist()} | changes
    (folder / "calib.json").write_text(json.dumps(calibration))
    return folder
