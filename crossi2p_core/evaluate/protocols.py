"""What each protocol asks, and what it does to a sample. Everything random is drawn beforehand, into a `Pair`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..train.augment_cloud import (
    draw_decalibration,
    draw_plane_motion,
    drop_floor,
    drop_sector,
    move_scan,
    without_vehicle,
)
from ..train.augment_view import draw_turn, draw_zoom, fitted, fitted_intrinsics, virtual_camera
from ..train.config import AugmentConfig
from ..types import Sample
from .pairs import Pair

Array = np.ndarray
VEHICLE_M = 3.0  # what lies nearer is the vehicle itself
TURNS = 20  # virtual cameras that are drawn for a pair of protocol D; the first that sees enough counts
WINDOW = (256, 832)  # height and width of a virtual camera
LEAST_POINTS = 100


@dataclass(frozen=True)
class Protocol:
    """limits: (degrees, metres) within which an answer is right, the headline first. mean_over: `all` pairs, or the
    `successes` alone, as the literature does. moves: the scan is turned and shifted. virtual: the image is turned and
    zoomed. guessed: there is a start, which is wrong by what is drawn; else nobody has one."""

    name: str
    limits: tuple[tuple[float, float], ...]
    mean_over: str
    moves: bool
    virtual: bool
    guessed: bool = False


PROTOCOLS: Mapping[str, Protocol] = {
    "A": Protocol("A", ((5.0, 2.0), (1.0, 0.3)), "all", True, False),
    "B": Protocol("B", ((10.0, 5.0), (5.0, 2.0)), "successes", True, False),
    "C": Protocol("C", ((2.0, 0.05), (0.5, 0.05)), "all", False, False, guessed=True),
    "D": Protocol("D", ((5.0, 2.0), (1.0, 0.3)), "all", True, True),
    "E": Protocol("E", ((5.0, 2.0), (1.0, 0.3)), "all", False, False),
}


def made_of(protocol: Protocol) -> dict[str, Any]:
    """The settings that decide what a protocol asks, beside what is drawn: an evaluation with others is another one."""
    usual = AugmentConfig()
    told: dict[str, Any] = {"vehicle_m": VEHICLE_M} if protocol.moves else {}
    if protocol.virtual:
        told |= {"window": list(WINDOW)} | {name: getattr(usual, name) for name in (
            "sector_deg", "floor_deg", "recorded", "seen_points")}
    return told


def draw(protocol: Protocol, rng: np.random.Generator, bounds: tuple[float, float]) -> dict[str, Any]:
    """The transforms of one pair in plain numbers, as fields of `Pair`. bounds: (degrees, metres) of C's start."""
    usual = AugmentConfig()
    drawn: dict[str, Any] = {"scan_seed": int(rng.integers(2**31))}
    if protocol.virtual:
        motion = draw_plane_motion(rng, 180.0, 10.0) @ draw_decalibration(rng, usual.tilt_deg, usual.offset_m)
        cameras = [(draw_turn(rng, usual.turn_deg), draw_zoom(rng, usual.zoom)) for _ in range(TURNS)]
        turns = tuple([*se3.log_so3(R).tolist(), zoom] for R, zoom in cameras)
        return drawn | {"motion": motion.tolist(), "turns": turns}
    if protocol.moves:
        return drawn | {"motion": draw_plane_motion(rng, 180.0, 10.0).tolist()}
    return drawn | ({"start_error": se3.perturb(np.eye(4), rng, *bounds).tolist()} if protocol.guessed else {})


@dataclass(frozen=True)
class Posed:
    """A question with its answer: samples with T_cam_lidar. right, wrong: alike but for the image. unmasked: what the
    control without image may look at. start: (4, 4) T_cam_lidar to start from, or None."""

    right: Sample
    wrong: Sample
    unmasked: Sample
    start: Array | None


def pose(protocol: Protocol, pair: Pair, sample: Sample, other: Sample | None) -> Posed:
    """What the protocol makes of a sample. other: whose image is the wrong one; None: the sample's own, mirrored.

    Raises InputError for a sample without T_cam_lidar or with nearly no points.
    """
    if sample.T_cam_lidar is None:
        raise InputError(f"{sample.name} has no recorded extrinsic (T_cam_lidar) to compare with")
    unmasked = sample
    if protocol.moves:
        sample = replace(sample, cloud=without_vehicle(sample.cloud, VEHICLE_M))
    if protocol.virtual:
        sample = unmasked = _lesser_scan(sample, pair)
    if len(sample.cloud) < LEAST_POINTS:
        raise InputError(f"{sample.name} has {len(sample.cloud)} usable points; at least {LEAST_POINTS} are needed")
    wrong = _own_mirrored(sample) if other is None else fitted(other.image, sample.camera)
    if protocol.virtual:
        sample, wrong = _from_elsewhere(sample, replace(sample, image=wrong), pair)
        unmasked = sample
    if pair.motion is not None:
        motion = np.array(pair.motion)
        sample, unmasked = move_scan(sample, motion), move_scan(unmasked, motion)
    start = None if pair.start_error is None else _decalibrated(sample.T_cam_lidar, np.array(pair.start_error))
    return Posed(sample, replace(sample, image=wrong), unmasked, start)


def _decalibrated(T: Array | None, error: Array) -> Array:
    """Turned in the camera's place, then shifted: the error is exactly what was drawn."""
    assert T is not None
    return se3.make(error[:3, :3] @ T[:3, :3], T[:3, 3] + error[:3, 3])


def _lesser_scan(sample: Sample, pair: Pair) -> Sample:
    """Without a sector of azimuth and without the lowest elevations, from where the vehicle's shadow tells the
    heading."""
    rng, usual = np.random.default_rng(pair.scan_seed), AugmentConfig()
    cloud = drop_floor(drop_sector(sample.cloud, rng, usual.sector_deg), rng, usual.floor_deg)
    return replace(sample, cloud=cloud)


def _from_elsewhere(sample: Sample, wrong: Sample, pair: Pair) -> tuple[Sample, Array]:
    """The sample and its wrong image through the first drawn camera that sees enough of recording and scan, else
    through the one that sees the most of the recording."""
    usual = AugmentConfig()
    tried = []
    for *turn, zoom in pair.turns:
        R, K = se3.exp_so3(np.array(turn)), fitted_intrinsics(sample.camera, WINDOW, zoom)
        seen, inside = virtual_camera(sample, R, K, WINDOW)
        tried.append((float(inside.mean()), seen, R, K))
        if inside.mean() >= usual.recorded and np.count_nonzero(in_view(seen)[0]) >= usual.seen_points:
            break
    else:
        tried.sort(key=lambda each: each[0])
    _, seen, R, K = tried[-1]
    return seen, virtual_camera(wrong, R, K, WINDOW)[0].image


def in_view(sample: Sample) -> tuple[Array, Array]:
    """(N,) bool, which points lie inside the image by the true extrinsic, and (N,) m, how far they are from the
    camera."""
    points = se3.transform(np.asarray(sample.T_cam_lidar), sample.cloud.xyz.astype(np.float64))
    return sample.camera.project(points)[1], np.linalg.norm(points, axis=1)


def _own_mirrored(sample: Sample) -> Array:
    return np.ascontiguousarray(sample.image[:, ::-1])
