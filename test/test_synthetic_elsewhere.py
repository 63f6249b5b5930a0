"""Synthetic pairs whose camera is really elsewhere: drawn anew, within bounds, and true to the scene."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, crossi2p
from synthetic_drive import EXACT, TINY

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.synthetic import ElsewhereSource, worlds
from crossi2p_core.datasets.synthetic.camera_render import render_depth
from crossi2p_core.datasets.synthetic.worlds import drawn_world
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3


def test_the_camera_is_anywhere_within_bounds() -> None:
    source = ElsewhereSource("street", 1, 300, elsewhere=10)
    drawn = [source._camera(index) for index in range(300)]
    T_lidar_cam = np.stack([se3.inverse(T) for T, _ in drawn])
    away = np.linalg.norm(T_lidar_cam[:, :2, 3], axis=1)
    assert away.max() <= 10 and (away > 6).mean() > 0.2 and np.abs(T_lidar_cam[:, 1, 3]).max() <= 2
    ahead = T_lidar_cam[:, :3, 2]  # where the camera looks, in the LiDAR frame
    heading = np.degrees(np.arctan2(ahead[:, 1], ahead[:, 0]))
    assert (np.histogram(heading, bins=8, range=(-180, 180))[0] > 15).all()
    tilt = np.degrees(np.arccos(np.clip(-T_lidar_cam[:, 2, 1], -1, 1)))  # of the image's vertical off the world's
    assert tilt.max() <= 10 and tilt.max() > 8
    assert len({look.sun_azimuth for _, look in drawn}) == 300  # each in a light of its own


@pytest.mark.parametrize("kind", ["street", "hall"])
def test_what_both_see_lies_where_the_image_shows_it(kind: str) -> None:
    source = ElsewhereSource(kind, 2, 3, camera=TINY, lidar=replace(EXACT, steps=300), samples=1)
    compared = 0
    for index in range(3):
        sample = source[index]
        T_world_cam = source._place(index)[2] @ se3.inverse(sample.T_cam_lidar)
        depth = render_depth(source._place(index)[1], TINY, torch.from_numpy(T_world_cam)[None]).distance[0].numpy()
        points = se3.transform(sample.T_cam_lidar, sample.cloud.xyz.astype(np.float64))
        uv, seen = TINY.project(points)
        u, v = np.rint(uv[seen]).astype(int).T
        share = np.linalg.norm(points[seen], axis=1) / depth[v.clip(0, TINY.height - 1), u.clip(0, TINY.width - 1)]
        compared += len(share)
        assert np.mean(np.abs(share - 1) < 0.1) > 0.3  # the others are hidden from the camera, or at an edge
    assert compared > 100


def test_pairs_are_seeded_and_share_no_rig() -> None:
    address = "synthetic:street?seed=3&frames=4&elsewhere=8&every=20&lidar=vlp16"
    one, again = open_source(address), open_source(address)
    assert one.identity() == again.identity() != open_source("synthetic:street?seed=3&frames=4").identity()
    a, b = one[2], again[2]
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.T_cam_lidar, b.T_cam_lidar)
    assert a.rig != one[1].rig and not np.allclose(a.T_cam_lidar, one[1].T_cam_lidar)
    assert np.linalg.norm(one.pose(1)[:3, 3] - one.pose(0)[:3, 3]) > 5  # m: 20 frames further on


@pytest.mark.parametrize(("query", "word"), [("elsewhere=0", "elsewhere=0"), ("elsewhere=99", "elsewhere=99"),
                                             ("elsewhere=5&every=0", "every=0"), ("elsewhere=far", "far"),
                                             ("every=3", "every")])
def test_bounds_that_mean_nothing_are_refused(query: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        open_source(f"synthetic:street?{query}")


def test_the_command_writes_such_pairs(tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    assert crossi2p("synth", out, "--frames", 2, "--lidar", "vlp16", "--elsewhere", 6, "--every", 9).code == 0
    written, made = open_source(out), open_source("synthetic:street?seed=0&frames=2&lidar=vlp16&elsewhere=6&every=9")
    for index in range(2):
        np.testing.assert_allclose(written[index].T_cam_lidar, made[index].T_cam_lidar, atol=1e-6)
    assert written[0].rig != written[1].rig


def test_worlds_differ_in_kind_camera_and_lidar_and_are_written_once(tmp_path: Path) -> None:
    drawn = [drawn_world(seed, 1, 10, 5) for seed in range(12)]
    assert len({world.layout for world in drawn}) > 1 and len({world.lidar.name for world in drawn}) > 1
    views = [2 * math.degrees(math.atan(world.camera.width / 2 / world.camera.K[0, 0])) for world in drawn]
    assert min(views) > 50 and max(views) < 100 and max(views) - min(views) > 15
    outcome = crossi2p("synth", tmp_path, "--worlds", 2, "--frames", 1, "--seed", 3)
    assert outcome.code == 0 and "2 frames of them written now" in outcome.out, outcome
    source = open_source(tmp_path)
    assert source.names == ["world_00003/000000", "world_00004/000000"]
    assert [one.camera.width for one in source] == [drawn[3].camera.width, drawn[4].camera.width]
    again = crossi2p("synth", tmp_path, "--worlds", 2, "--frames", 1, "--seed", 3, "--jobs", 2)
    assert "0 frames of them written now" in again.out
    assert_refused(crossi2p("synth", tmp_path, "--worlds", 2, "--camera", "kitti"), "--worlds", "leave out")


def killed(*_: object) -> int:
    """What a process does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_a_process_that_is_killed_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "_write", killed)
    with pytest.raises(InputError, match=r"was killed.*fewer --jobs"):
        worlds.write_worlds(tmp_path, 2, 0, 1, 10, 5, 2, lambda done, count: None)
