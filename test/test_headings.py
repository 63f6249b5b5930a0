"""From no guess at all, without a network: edges all around find one camera, and say when they do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from command_line import crossi2p

from crossi2p_core import audition
from crossi2p_core.calibration_file import read_extrinsic
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.compact_writer import prepare
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.headings import HEADINGS, REACH_DEG, all_around, look_at
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.registrar import Registrar
from crossi2p_core.train.augment_cloud import move_scan
from crossi2p_core.types import Registration, Sample

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sample() -> Sample:
    return open_source("synthetic:street?seed=2&frames=1&camera=small&lidar=hdl64")[0]


def turned(sample: Sample, degrees: float) -> Sample:
    """Its scan by another heading; the extrinsic that belongs to that is recorded."""
    turn = se3.make(se3.exp_so3(np.array([0.0, 0.0, np.radians(degrees)])), np.zeros(3))
    return move_scan(sample, turn)


def anywhere(samples: Sequence[Sample]) -> Registration:
    return Registrar(device="cpu", weights="none").register_anywhere(samples)


def errors(found: Registration, sample: Sample) -> tuple[float, float]:
    """Degrees and cm."""
    truth = np.asarray(sample.T_cam_lidar)
    return (float(se3.rotation_error_deg(found.T_cam_lidar, truth)),
            float(100 * se3.translation_error_m(found.T_cam_lidar, truth)))


def test_headings_are_level_and_close_the_circle() -> None:
    cameras = np.array([place.T_cam_lidar for place in all_around()])
    np.testing.assert_allclose(cameras[:, 1, :3], np.tile([0, 0, -1], (HEADINGS, 1)), atol=1e-12)  # down is down
    np.testing.assert_allclose(cameras[0, 2, :3], [1, 0, 0], atol=1e-12)  # the first looks ahead
    assert not cameras[:, :3, 3].any() and np.allclose(np.linalg.det(cameras[:, :3, :3]), 1)
    others = np.roll(cameras, 1, axis=0)
    steps = [se3.rotation_error_deg(one, other) for one, other in zip(cameras, others, strict=True)]
    np.testing.assert_allclose(steps, 360 / HEADINGS, atol=1e-9)
    assert max(steps) / 2 < REACH_DEG - 2  # between two of them, and somewhat aslant, lies within reach


def test_places_come_in_their_order_with_the_one_that_fits_far_ahead(sample: Sample) -> None:
    places = all_around()
    found = look_at(places, [sample], RefineConfig(), CPU)
    right = [se3.rotation_error_deg(one.T_cam_lidar, sample.T_cam_lidar) < 2 for one in found]
    assert len(found) == HEADINGS and right[0] and not any(right[3:-2])
    for place, one in zip(places, found, strict=True):
        assert se3.rotation_error_deg(one.T_cam_lidar, place.T_cam_lidar) < 2 * REACH_DEG
    response = [one.evidence.response if one.evidence is not None else 0.0 for one in found]
    assert max(r for r, here in zip(response, right, strict=True) if here) > 1.2 * max(
        r for r, here in zip(response, right, strict=True) if not here)


def test_one_frame_is_found_at_any_heading_and_its_record_is_not_looked_at(sample: Sample) -> None:
    there = turned(sample, 131.0)
    found = anywhere([replace(there, T_cam_lidar=sample.T_cam_lidar)])
    degrees, centimetres = errors(found, there)
    assert degrees < 1.0 and centimetres < 20
    assert "look around" in found.timings and "network" not in found.timings


def test_without_network_and_record_there_is_an_answer_all_the_same(sample: Sample,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[:2])
    unknown = replace(sample, T_cam_lidar=None)
    assert errors(Registrar(device="cpu", weights="none").register(unknown), sample)[0] < 1.0


def test_what_shows_nothing_is_refused_in_words(sample: Sample) -> None:
    dark = replace(sample, image=np.zeros_like(sample.image))
    with pytest.raises(InputError, match=r"at no heading.*the image is dark"):
        anywhere([dark])
    thin = replace(sample, cloud=sample.cloud.select(np.arange(3)))
    with pytest.raises(InputError, match=r"at no heading.*3 usable points"):
        anywhere([thin])


def test_the_command_needs_no_weights(tmp_path: Path) -> None:
    outcome = crossi2p("register", "synthetic:street?seed=2&frames=1&camera=small&lidar=hdl64", "--from-scratch",
                       "--weights", "none", "--out", tmp_path / "out")
    assert outcome.code == 0 and "from scratch" in outcome.out, outcome
    assert (tmp_path / "out" / "report.json").is_file()


def test_frames_in_which_nobody_finds_the_camera_are_told_as_failed_jointly_too(tmp_path: Path) -> None:
    source = open_source("synthetic:street?seed=2&frames=2&camera=small&lidar=vlp16")
    prepare(source, tmp_path / "dark")
    for picture in (tmp_path / "dark").glob("*.jpg"):
        cv2.imwrite(str(picture), np.zeros_like(source[0].image))
    for joint in ([], ["--joint"]):
        outcome = crossi2p("register", tmp_path / "dark", "--from-scratch", "--weights", "none", "--json", *joint)
        assert outcome.code == 1, outcome
        told = json.loads(outcome.out)
        assert told["summary"]["failed"] == len(told["frames"]) == (1 if joint else 2)
        assert "the image is dark" in told["frames"][0]["reason"] and told["frames"][0]["T_cam_lidar"] is None


def test_a_rig_is_calibrated_from_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[:2])
    settings = tmp_path / "settings.yaml"
    settings.write_text("folds: 0\n")
    outcome = crossi2p("calibrate", "synthetic:street?seed=2&frames=5&camera=small&lidar=hdl64", "--from-scratch",
                       "--weights", "none", "--config", settings, "--out", tmp_path / "rig", "--json")
    assert outcome.code == 0, outcome
    told, = json.loads(outcome.out)["cameras"]
    assert told["error_deg"] < 0.5 and told["error_cm"] < 8 and told["start_was"] == "unknown"
    assert "fewer than 8 frames" in told["time_offset_not_looked_for"]
    found = read_extrinsic(tmp_path / "rig" / "extrinsic.yaml")
    np.testing.assert_allclose(found.T_cam_lidar, told["T_cam_lidar"], atol=1e-9)


def test_one_real_frame_is_found_from_no_guess(data_dir: Path) -> None:
    source = open_source(data_dir / "compact" / "kitti_stereo2015")
    there = turned(source[10], -77.0)
    degrees, centimetres = errors(anywhere([there]), there)
    assert degrees < 0.5 and centimetres < 15


@pytest.mark.slow
def test_a_wrong_image_is_not_believed(data_dir: Path) -> None:
    there = turned(open_source(data_dir / "compact" / "kitti_stereo2015")[10], -77.0)
    wrong = anywhere([replace(there, image=np.ascontiguousarray(there.image[:, ::-1]))])
    assert wrong.status != "ok" and errors(wrong, there)[0] > 1.0
