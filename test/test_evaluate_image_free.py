"""The control that never looks at the image finds origin and heading of moved scans, and says where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bags import sample as bag_sample

from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.evaluate.image_free import (
    ImageFree,
    find_heading,
    find_origin,
    is_spinning,
    mean_transform,
    shadow,
)
from crossi2p_core.geometry import se3
from crossi2p_core.train.augment_cloud import move_scan
from crossi2p_core.types import Camera, PointCloud, Sample


def test_real_scans_tell_where_they_were_taken_and_how_the_vehicle_stood(data_dir: Path) -> None:
    source = open_source(data_dir / "compact" / "kitti_stereo2015")
    frames = [source[index] for index in range(0, len(source), len(source) // 8)]
    control = ImageFree.learn([replace(frame, rig="kitti") for frame in frames])
    near = []
    for frame, yaw, place in zip(frames, (170.0, -95.0, 40.0), ((7.0, -9.0), (-3.0, 4.0), (0.5, 9.5)), strict=False):
        motion = se3.make(se3.exp_so3(np.array([0, 0, np.radians(yaw)])), np.array([*place, 0.0]))
        moved = move_scan(replace(frame, rig="kitti"), motion)
        found = control.answer(replace(moved, image=np.zeros_like(frame.image), T_cam_lidar=None), moved=True)
        near.append(se3.rotation_error_deg(found, moved.T_cam_lidar) < 5
                    and se3.translation_error_m(found, moved.T_cam_lidar) < 2)
    assert sum(near) >= 2, near


def test_the_origin_is_where_no_point_covers_another() -> None:
    azimuth, elevation = np.meshgrid(np.radians(np.arange(0, 360, 0.5)), np.radians(np.arange(-24, 3, 0.7)))
    distance = 10 + 4 * np.sin(5 * azimuth) + 3 * np.cos(40 * elevation)
    xyz = np.stack([distance * np.cos(elevation) * np.cos(azimuth), distance * np.cos(elevation) * np.sin(azimuth),
                    distance * np.sin(elevation)], -1).reshape(-1, 3)
    found = find_origin(xyz + np.array([6.3, -4.1, 0]), (np.radians(-25), np.radians(3)))
    assert np.hypot(*(found[:2] - [6.3, -4.1])) < 0.2 and found[2] == 0


def test_the_heading_is_the_turn_of_the_shadow() -> None:
    azimuth = np.radians(np.arange(0.5, 360, 1.0))
    floor = azimuth[(azimuth > 1.2) & (azimuth < 5.0)]
    xyz = np.stack([5 * np.cos(floor), 5 * np.sin(floor), np.full_like(floor, -1.73)], -1)
    template = shadow(xyz)
    for yaw in (0.0, 30.0, 170.0, -90.0):
        turned = xyz @ se3.exp_so3(np.array([0, 0, np.radians(yaw)])).T
        off = np.degrees(find_heading(turned, template)) - yaw
        assert abs((off + 180) % 360 - 180) < 2.1


def test_a_mean_of_transforms_lies_between_them() -> None:
    T = np.array([se3.make(se3.exp_so3(np.array([0, 0, angle])), np.array([angle, 0, 0])) for angle in (0.1, 0.3)])
    np.testing.assert_allclose(mean_transform(T), se3.make(se3.exp_so3(np.array([0, 0, 0.2])), [0.2, 0, 0]), atol=1e-12)


def test_what_sees_one_side_is_no_spinning_lidar_and_has_no_control() -> None:
    xyz = np.random.default_rng(0).normal(size=(500, 3)) + np.array([40.0, 0, 0])
    assert not is_spinning(xyz) and is_spinning(xyz - [40.0, 0, 0])
    camera = Camera(np.array([[50.0, 0, 31.5], [0, 50, 31.5], [0, 0, 1]]), 64, 64)
    sample = Sample("a", np.zeros((64, 64, 3), np.uint8), camera, PointCloud.from_arrays(xyz), np.eye(4), rig="r")
    control = ImageFree.learn([sample, replace(sample, name="b")])
    with pytest.raises(InputError, match="not applicable"):
        control.answer(sample, moved=True)


def test_the_control_never_learns_from_the_frame_it_is_asked_about() -> None:
    cloud = PointCloud.from_arrays(np.random.default_rng(0).normal(0, 10, (500, 3)))
    asked = replace(bag_sample(0), name="a", cloud=cloud, rig="r",
                    T_cam_lidar=se3.exp_se3(np.array([0, 0, 0.1, 1.0, 0, 0])))
    control = ImageFree.learn([asked, replace(asked, name="b", T_cam_lidar=np.eye(4))])
    np.testing.assert_allclose(control.answer(asked, moved=False), np.eye(4), atol=1e-9)
