"""Another camera at the same place: turned, zoomed, cropped or mirrored; K and T_cam_lidar follow.

A camera that only turns sees what it would have seen: the image moves by a homography, whatever the depth. So every
example can have an extrinsic of its own, which no network can learn by heart. What is projected before and after is the
same point of the scene.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from ..geometry import se3
from ..types import Camera, PointCloud, Sample

Array = np.ndarray
GRID = 17, 41  # rows and columns of cells by which an image's coverage is told


def draw_turn(rng: np.random.Generator, limits_deg: tuple[float, float, float]) -> Array:
    """A rotation R_virtual_cam (3, 3): first to the side, then up or down, then about the optical axis."""
    side, up, roll = (math.radians(limit) * rng.uniform(-1, 1) for limit in limits_deg)
    turn_side, turn_up, turn_roll = (se3.exp_so3(np.array(w)) for w in ((0, side, 0), (up, 0, 0), (0, 0, roll)))
    return turn_roll @ turn_up @ turn_side


def draw_zoom(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """A factor of the focal length, even in its logarithm."""
    return float(np.exp(rng.uniform(math.log(limits[0]), math.log(limits[1]))))


def fitted_intrinsics(camera: Camera, size: tuple[int, int], zoom: float) -> Array:
    """K (3, 3) of a pinhole camera of `size` (height, width) that shows all of `camera`, then `zoom` times nearer.

    Its principal point lies as far from the middle, in shares of the scale, as the camera's own.
    """
    height, width = size
    scale = min(height / camera.height, width / camera.width)
    K = camera.resize(max(1, round(camera.width * scale)), max(1, round(camera.height * scale))).K.copy()
    K[0, 2] += (width - round(camera.width * scale)) / 2
    K[1, 2] += (height - round(camera.height * scale)) / 2
    middle = np.array([[zoom, 0, (1 - zoom) * (width - 1) / 2], [0, zoom, (1 - zoom) * (height - 1) / 2], [0, 0, 1]])
    return middle @ K


def virtual_camera(sample: Sample, R_virtual_cam: Array, K: Array, size: tuple[int, int]) -> tuple[Sample, Array]:
    """The sample as a pinhole camera with K (3, 3) and `size` (height, width), turned by R_virtual_cam, would see it.

    Returns it and `inside` (height, width) bool, where the recorded image reaches; beyond, the image is black.
    Straightens lens distortion on the way. Without a turn this is a crop with a scale.
    """
    height, width = size
    camera = Camera(K, width, height)
    image, recorded = _near_resolution(sample.image, sample.camera, float(camera.K[0, 0]))
    v, u = np.mgrid[0:height, 0:width].astype(np.float64)
    rays = camera.unproject(np.stack([u, v], -1)) @ R_virtual_cam  # row vectors: R^T from the left
    source, inside = recorded.project(rays)  # (height, width, 2)
    u, v = np.moveaxis(source.astype(np.float32), -1, 0)
    seen = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    T = None if sample.T_cam_lidar is None else se3.make(R_virtual_cam, np.zeros(3)) @ sample.T_cam_lidar
    return replace(sample, image=np.where(inside[..., None], seen, 0).astype(np.uint8), camera=camera,
                   T_cam_lidar=T), inside


def share_recorded(camera: Camera, R_virtual_cam: Array, K: Array, size: tuple[int, int]) -> float:
    """How much of the image of such a virtual camera `camera` has recorded, 0..1, by the middles of GRID cells."""
    height, width = size
    middles = [(np.arange(n) + 0.5) / n * extent - 0.5 for n, extent in zip(GRID, size, strict=True)]
    v, u = np.meshgrid(*middles, indexing="ij")
    rays = Camera(K, width, height).unproject(np.stack([u, v], -1)) @ R_virtual_cam
    return float(camera.project(rays)[1].mean())


def _near_resolution(image: Array, camera: Camera, focal_px: float) -> tuple[Array, Camera]:
    """Image and camera, brought down to about the wanted focal length: sampling a finer image would leave aliases."""
    factor = focal_px / float(camera.K[0, 0])
    if factor >= 0.9:
        return image, camera
    smaller = camera.scale(factor)
    return cv2.resize(image, (smaller.width, smaller.height), interpolation=cv2.INTER_AREA), smaller


def fitted(image: Array, camera: Camera) -> Array:
    """Another frame's image in the window of a camera: the same camera's as it is, another one's scaled and cut."""
    size = (camera.width, camera.height)
    if image.shape[1::-1] == size:
        return image
    scale = max(size[0] / image.shape[1], size[1] / image.shape[0])
    wide = max(size[0], math.ceil(scale * image.shape[1])), max(size[1], math.ceil(scale * image.shape[0]))
    resized = cv2.resize(image, wide, interpolation=cv2.INTER_AREA)
    left, top = (wide[0] - size[0]) // 2, (wide[1] - size[1]) // 2
    return np.ascontiguousarray(resized[top:top + size[1], left:left + size[0]])


def mirror(sample: Sample) -> Sample:
    """The world left-right reversed: image columns, the cloud's y, K and lens, and T_cam_lidar conjugated.

    Both sides are reflected, so T_cam_lidar = diag(-1, 1, 1) R diag(1, -1, 1) is a rotation again.
    """
    camera = sample.camera
    flip = np.array([[-1.0, 0, camera.width - 1], [0, 1, 0], [0, 0, 1]])  # of pixels
    K = flip @ camera.K @ np.diag([-1.0, 1, 1])
    distortion = camera.distortion.copy()
    if camera.model in ("plumb_bob", "rational_polynomial") and len(distortion) > 3:
        distortion[3] = -distortion[3]  # p2, the tangential part along x
    T = sample.T_cam_lidar
    return replace(
        sample, image=np.ascontiguousarray(sample.image[:, ::-1]), camera=replace(camera, K=K, distortion=distortion),
        cloud=_mirrored(sample.cloud), T_world_lidar=None,
        T_cam_lidar=None if T is None else np.diag([-1.0, 1, 1, 1]) @ T @ np.diag([1.0, -1, 1, 1]))


def _mirrored(cloud: PointCloud) -> PointCloud:
    return replace(cloud, xyz=cloud.xyz * np.array([1, -1, 1], np.float32))
