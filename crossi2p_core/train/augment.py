"""All augmentations of one example, in the one order in which they are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Camera, PointCloud, Sample
from .augment_cloud import (
    add_range_noise,
    draw_decalibration,
    draw_plane_motion,
    drop_beams,
    drop_floor,
    drop_points,
    drop_sector,
    move_scan,
    without_vehicle,
)
from .augment_image import add_noise, add_texture, blur, change_exposure, change_light
from .augment_view import draw_turn, draw_zoom, fitted_intrinsics, mirror, share_recorded, virtual_camera
from .config import AugmentConfig

TRIES = 20  # of drawing a virtual camera ...
SHRINK = 0.85  # ... each turned less far than the one before, down to 5 % of the limits
LEAST_POINTS = 100  # an augmentation of the cloud that leaves fewer is not done


def at_position(config: AugmentConfig, position: int) -> AugmentConfig:
    """What is changed about the example at `position` of a run: shift_m grows to what it is in the end.

    A scan that has moved looks another way from its new origin, which is hard to learn together with all the rest.
    """
    grown = min(1.0, position / config.shift_grows_over) if config.shift_grows_over else 1.0
    return replace(config, shift_m=grown * config.shift_m)


def augment(sample: Sample, config: AugmentConfig, size: tuple[int, int],
            rng: np.random.Generator) -> tuple[Sample, np.ndarray | None]:
    """The sample changed at random; its points project to the same places of the scene as before.

    size: (height, width) of the virtual camera. Returns the sample and `inside` (height, width) bool, where its image
    is recorded, or None for everywhere. Raises InputError for a sample with nearly no points.
    """
    cloud = without_vehicle(sample.cloud, config.vehicle_m)
    if len(cloud) < LEAST_POINTS:
        raise InputError(f"{sample.name} has {len(cloud)} points beyond {config.vehicle_m:g} m; at least "
                         f"{LEAST_POINTS} are needed")
    # 1. what the sensors lose, in their own frames
    sample = replace(sample, cloud=_worse_scan(cloud, config, rng))
    # 2. another camera, another place of the scan
    inside = None
    if config.virtual_camera:
        sample, inside = _another_camera(sample, config, size, rng)
    sample = move_scan(sample, draw_plane_motion(rng, config.yaw_deg, config.shift_m)
                       @ draw_decalibration(rng, config.tilt_deg, config.offset_m))
    if rng.random() < config.mirror:
        sample, inside = mirror(sample), None if inside is None else inside[:, ::-1]
    # 3. other light, at the resolution that the network sees
    image = _other_light(sample.image, config, rng)
    return replace(sample, image=image if inside is None else image * inside[..., None]), inside


def _another_camera(sample: Sample, config: AugmentConfig, size: tuple[int, int],
                    rng: np.random.Generator) -> tuple[Sample, np.ndarray]:
    """A virtual camera that sees part of the scan, and hardly anything that was not recorded; else the last of TRIES.

    A border that was not recorded would tell by its shape how the camera was turned, and with a scan that is known by
    heart the whole pose, without a look at the image. So a camera turns as far as its zoom leaves room; one that shows
    the whole image turns hardly at all, and has the borders that its shape gives it.
    """
    K = fitted_intrinsics(sample.camera, size, draw_zoom(rng, config.zoom))
    room = share_recorded(sample.camera, np.eye(3), K, size)
    for attempt in range(TRIES):
        R = draw_turn(rng, tuple(np.array(config.turn_deg) * SHRINK**attempt))
        if share_recorded(sample.camera, R, K, size) < config.recorded * room:
            continue
        if sample.T_cam_lidar is None:
            break  # nobody knows what it sees of the scan
        T = se3.make(R, np.zeros(3)) @ sample.T_cam_lidar
        _, visible = Camera(K, size[1], size[0]).project(se3.transform(T, sample.cloud.xyz))
        if np.count_nonzero(visible) >= config.seen_points:
            break
    return virtual_camera(sample, R, K, size)


def _worse_scan(cloud: PointCloud, config: AugmentConfig, rng: np.random.Generator) -> PointCloud:
    """Beams, a sector, the floor and points lost, ranges made noisy; at least LEAST_POINTS stay."""
    for change, amount in ((drop_beams, config.beams), (drop_sector, config.sector_deg), (drop_floor, config.floor_deg),
                           (drop_points, config.points), (add_range_noise, config.range_noise_m)):
        changed = change(cloud, rng, amount) if amount else cloud
        cloud = changed if len(changed) >= LEAST_POINTS else cloud
    return cloud


def _other_light(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    for change, amount in ((add_texture, config.texture), (change_light, config.light),
                           (change_exposure, config.exposure), (blur, config.blur_px), (add_noise, config.noise)):
        if amount:
            image = change(image, rng, amount)
    return image
