"""A small nuScenes on disk, made row by row."""

import json
import math
from itertools import count
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48
K = [[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]]
# Camera looking along the vehicle's x: optical x, y, z are the vehicle's -y, -z, x. Quaternion w x y z.
FORWARD = [0.5, -0.5, 0.5, -0.5]
R_FORWARD = np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])
LIDAR_QUATERNION = [math.sqrt(0.5), 0, 0, -math.sqrt(0.5)]  # the LiDAR's x points to the vehicle's right
R_LIDAR = np.array([[0, 1.0, 0], [-1, 0, 0], [0, 0, 1]])
START = 1_532_402_927_000_000  # microseconds


def motion(R, t) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t
    return T


def turn(degrees: float) -> tuple[list[float], np.ndarray]:
    """Heading as quaternion w x y z, and as a matrix written down independently of it."""
    a = math.radians(degrees)
    return ([math.cos(a / 2), 0, 0, math.sin(a / 2)],
            np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]))


class Tree:
    """A small nuScenes on disk, row by row."""

    def __init__(self, root: Path, version: str = "v1.0-mini") -> None:
        self.root, self.tables = root, root / version
        self.rows: dict[str, list[dict]] = {name: [] for name in (
            "scene", "sample", "sample_data", "calibrated_sensor", "ego_pose", "sensor")}
        self._tokens = count()

    def add(self, table: str, **row) -> str:
        token = f"{table}{next(self._tokens):04d}"
        self.rows[table].append({"token": token, **row})
        return token

    def mount(self, channel: str, translation, rotation, intrinsic=()) -> str:
        sensor = self.add("sensor", channel=channel, modality="camera" if intrinsic else "lidar")
        return self.add("calibrated_sensor", sensor_token=sensor, translation=list(translation),
                        rotation=list(rotation), camera_intrinsic=list(intrinsic))

    def capture(self, sample, sensor, stamp, filename, content: bytes, ego=((0, 0, 0), (1, 0, 0, 0)), is_key_frame=True,
                size=(WIDTH, HEIGHT)) -> None:
        pose = self.add("ego_pose", translation=list(ego[0]), rotation=list(ego[1]), timestamp=stamp)
        self.add("sample_data", sample_token=sample, calibrated_sensor_token=sensor, ego_pose_token=pose,
                 timestamp=stamp, filename=filename, width=size[0], height=size[1], is_key_frame=is_key_frame,
                 fileformat="pcd" if filename.endswith(".bin") else "jpg", prev="", next="")
        path = self.root / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def write(self) -> Path:
        self.tables.mkdir(parents=True, exist_ok=True)
        for name, rows in self.rows.items():
            (self.tables / f"{name}.json").write_text(json.dumps(rows, indent=0))
        return self.root


def picture(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def scan(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    points = np.hstack([rng.uniform(1, 20, (50, 3)), rng.uniform(0, 255, (50, 1)), rng.integers(0, 32, (50, 1))])
    return points.astype("<f4").tobytes()
