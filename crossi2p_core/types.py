"""What flows through the house: Camera, PointCloud, Sample, Prior, Registration.

All are frozen. Frames: `T_target_source` means `p_target = T_target_source @ p_source`; the camera frame is the
optical one (x right, y down, z forward). Metres, radians, seconds inside; degrees only where people read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .errors import InputError
from .geometry import camera_models

Array = np.ndarray

MAX_RANGE_M = 1e5  # of a LiDAR point; what lies beyond is a broken number


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one image: K, lens distortion and size.

    K: (3, 3) float64, pixels; the centre of the top-left pixel is (0, 0).
    distortion: (n,) coefficients of `model`, in the order of ROS CameraInfo and OpenCV.
    model: one of `camera_models.MODELS`: none | plumb_bob | rational_polynomial | equidistant.
    """

    K: Array
    width: int
    height: int
    model: str = "none"
    distortion: Array = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        K = np.asarray(self.K, dtype=np.float64)
        D = np.asarray(self.distortion, dtype=np.float64).reshape(-1)
        camera_models.check_intrinsics(K, self.model, D, int(self.width), int(self.height))
        for name, value in (("K", K), ("distortion", D), ("width", int(self.width)), ("height", int(self.height))):
            object.__setattr__(self, name, value)

    @classmethod
    def from_info(
        cls, K: Sequence[float], D: Sequence[float], model: str, width: int, height: int,
        P: Sequence[float] | None = None, rectified: bool = False, binning: tuple[int, int] = (1, 1),
        roi: tuple[int, int, int, int] | None = None,
    ) -> Camera:
        """From the fields of a ROS CameraInfo.

        K: 9 numbers, P: 12 numbers, row by row. A raw image uses K and D; a rectified one uses P and no distortion.
        binning: (x, y), 0 counts as 1. roi: (x_offset, y_offset, width, height) in unbinned pixels, a size of 0 is the
        whole image. Raises InputError for K = 0, an unknown model, or a rectified image without P.
        """
        name = camera_models.canonical_model(model, D)
        if rectified:
            if P is None or len(P) != 12:
                raise InputError("a rectified image needs the projection matrix P (12 numbers); CameraInfo has none")
            camera = cls(np.asarray(P, dtype=np.float64).reshape(3, 4)[:, :3], width, height)
        else:
            camera = cls(np.asarray(K, dtype=np.float64).reshape(3, 3), width, height, name,
                         np.zeros(0) if name == "none" else np.asarray(D, dtype=np.float64))
        if roi is not None and roi[2] > 0 and roi[3] > 0:
            camera = camera.crop(*roi)
        bx, by = max(1, int(binning[0])), max(1, int(binning[1]))
        if bx > camera.width or by > camera.height:
            raise InputError(f"binning by {bx} x {by} leaves nothing of {camera.width}x{camera.height} pixels; correct "
                             "binning_x and binning_y of the CameraInfo")
        return camera if (bx, by) == (1, 1) else camera.resize(camera.width // bx, camera.height // by)

    def project(self, points: Any) -> tuple[Any, Any]:
        """Pixels of camera-frame points.

        points: (..., 3) numpy or torch, metres. Returns uv (..., 2) pixels and valid (...) bool: in front of the
        camera, inside the range where the distortion model is one-to-one, and inside the image. uv is finite
        everywhere, and meaningless where valid is False and the point lies behind.
        """
        return camera_models.project(points, self.K, self.model, self.distortion, self.width, self.height)

    def unproject(self, uv: Any) -> Any:
        """Unit rays (..., 3) in the camera frame through pixels uv (..., 2); numpy or torch."""
        return camera_models.unproject(uv, self.K, self.model, self.distortion)

    def resize(self, width: int, height: int) -> Camera:
        """The same view at another resolution (pixel areas are resampled, so centres shift by half a pixel)."""
        sx, sy = width / self.width, height / self.height
        S = np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])
        return replace(self, K=S @ self.K, width=width, height=height)

    def scale(self, factor: float) -> Camera:
        """`resize` by one factor, the size rounded to whole pixels."""
        return self.resize(max(1, round(self.width * factor)), max(1, round(self.height * factor)))

    def crop(self, x: int, y: int, width: int, height: int) -> Camera:
        """The window of `width` x `height` pixels whose top-left pixel is (x, y)."""
        S = np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]])
        return replace(self, K=S @ self.K, width=width, height=height)


@dataclass(frozen=True)
class PointCloud:
    """One scan in the LiDAR frame; build it with `from_arrays`, which checks it once.

    xyz: (N, 3) float32 m, finite. intensity: (N,) float32 in 0..1 or None. ring: (N,) int32 row of the sensor or None.
    time: (N,) float32 s relative to the scan's stamp or None. dropped: rows removed because they were not finite.
    """

    xyz: Array
    intensity: Array | None = None
    ring: Array | None = None
    time: Array | None = None
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.xyz)

    @classmethod
    def from_arrays(cls, xyz: Array, intensity: Array | None = None, ring: Array | None = None,
                    time: Array | None = None) -> PointCloud:
        """Checked cloud: one mask for all fields removes NaN, Inf and points at the sensor's origin.

        intensity: any non-negative scale; values above 1.5 are taken as 0..255 (or as 0..max) and brought to 0..1.
        Raises InputError where shapes do not fit each other.
        """
        xyz = np.asarray(xyz)
        if xyz.ndim != 2 or xyz.shape[1] != 3:
            raise InputError(f"a cloud needs an (N, 3) array of x, y, z; this one is {xyz.shape}")
        for name, values in (("intensity", intensity), ("ring", ring), ("time", time)):
            if values is not None and np.shape(values) != (len(xyz),):
                raise InputError(f"{name} has shape {np.shape(values)}, the cloud has {len(xyz)} points")
        with np.errstate(invalid="ignore", over="ignore"):
            points = xyz.astype(np.float32, order="C")  # a copy: the caller's array stays the caller's
            x, y, z = points.T
            keep = (np.abs(x) < MAX_RANGE_M) & (np.abs(y) < MAX_RANGE_M) & (np.abs(z) < MAX_RANGE_M)  # false for NaN
            keep &= (x != 0) | (y != 0) | (z != 0)
        index = np.flatnonzero(keep)
        return cls(
            points if len(index) == len(points) else np.take(points, index, axis=0),
            _unit_intensity(_picked(intensity, index, np.float32)), _picked(ring, index, np.int32),
            _picked(time, index, np.float32), len(points) - len(index))

    def select(self, index: Array) -> PointCloud:
        """The points of a boolean mask or an index array."""
        intensity, ring, time = (None if v is None else v[index] for v in (self.intensity, self.ring, self.time))
        return PointCloud(self.xyz[index], intensity, ring, time, self.dropped)


def _picked(values: Array | None, index: Array, dtype: type) -> Array | None:
    """A copy of the rows `index` as `dtype`, zero where they are not finite; by number, since a mask is far slower."""
    if values is None:
        return None
    values = np.array(values) if len(index) == len(values) else np.take(values, index)
    with np.errstate(invalid="ignore", over="ignore"):
        if values.dtype.kind == "f":
            values = values.astype(np.float32, copy=False)
            if not np.isfinite(values.sum()):
                values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        return values.astype(dtype, copy=False)


def _unit_intensity(values: Array | None) -> Array | None:
    """Bring intensities to 0..1 whatever unit the driver used."""
    if values is None or len(values) == 0:
        return values
    top = float(values.max())
    if values.min() >= 0 and top <= 1:
        return values
    return np.clip(values / np.float32(1.0 if top <= 1.5 else max(255.0, top)), 0, 1)


@dataclass(frozen=True)
class Sample:
    """One image and one scan taken together.

    image: (H, W, 3) uint8 RGB. T_cam_lidar: (4, 4) the recorded extrinsic, or None where nobody knows it.
    T_world_lidar: (4, 4) pose of the scan or None. stamps: seconds. rig: samples with equal `rig` share one camera
    and one extrinsic (a label such as `2011_09_26/image_02`).
    """

    name: str
    image: Array
    camera: Camera
    cloud: PointCloud
    T_cam_lidar: Array | None = None
    T_world_lidar: Array | None = None
    stamp_image: float | None = None
    stamp_cloud: float | None = None
    rig: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.image)
        if len(shape) != 3 or shape[2] != 3 or np.asarray(self.image).dtype != np.uint8:
            raise InputError(f"{self.name}: an image must be (H, W, 3) uint8 RGB; this one is {shape}")
        if shape[:2] != (self.camera.height, self.camera.width):
            raise InputError(f"{self.name}: the image is {shape[1]}x{shape[0]} but its intrinsics are for "
                             f"{self.camera.width}x{self.camera.height}; give the calibration of this image")


@dataclass(frozen=True)
class Prior:
    """A guess of T_cam_lidar (4, 4) and how wrong it may be: search bounds in degrees and metres."""

    T_cam_lidar: Array
    max_deg: float = 2.0
    max_m: float = 0.2


@dataclass(frozen=True)
class Registration:
    """A judged extrinsic.

    T_cam_lidar: (4, 4). covariance: (6, 6) of the left perturbation exp(xi) T_cam_lidar, xi = (rotation rad,
    translation m) in the camera frame. status: ok | uncertain | failed, with the reason in words; a failed
    registration hands its prior on. cost: the refinement's own criterion, lower is better.
    overlap: share of the usable cloud inside the image. doubt_before: share of small moves away from the prior that
    fit better, near 0 where the prior was right already. timings: seconds per stage.
    convincing: more of the cloud's edges fit the image at the answer than a wrong image would let: only then the answer
    says something, be it as little as its covariance tells.
    speeds: m/s along the optical axis at which the vehicle seems to have driven during each usable frame's scan, what
    bent its cloud; none where that was not asked.
    """

    T_cam_lidar: Array
    covariance: Array
    status: str
    reason: str
    cost_before: float = float("nan")
    cost_after: float = float("nan")
    matches: int = 0
    inliers: int = 0
    reprojection_px: float = float("nan")
    overlap: float = float("nan")
    timings: dict[str, float] = field(default_factory=dict)
    doubt_before: float = float("nan")
    speeds: tuple[float, ...] = ()
    convincing: bool = False
