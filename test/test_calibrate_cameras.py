"""Two cameras on one LiDAR: each is calibrated, and whether they stand to each other as the recording says is told."""

from __future__ import annotations

import json
from pathlib import Path

import bags
import cv2
import numpy as np
import pytest
from command_line import assert_refused, crossi2p
from recordings import write_lines

from crossi2p_core.calibrate.report import between
from crossi2p_core.calibration_file import Extrinsic, read_calibration, write_calibration
from crossi2p_core.commands.fleet import _digest, _from_anywhere
from crossi2p_core.commands.rig import Rig, _robot, calibrate_rig, read_options
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.source import RobotNames
from crossi2p_core.datasets.synthetic import SyntheticSource
from crossi2p_core.geometry import se3
from crossi2p_core.types import Prior, Registration, Sample

FRAMES = 5
BASELINE = np.array([-0.54, 0.0, 0.0])  # as KITTI's: the right camera sees everything so far to the left


def test_between_two_cameras_is_what_leads_from_one_to_the_other() -> None:
    left = se3.make(se3.exp_so3(np.array([0.1, -0.2, 0.3])), np.array([0.1, 0.2, 0.3]))
    right = se3.make(np.eye(3), BASELINE) @ left
    turned = se3.make(se3.exp_so3(np.radians([0.0, 0.5, 0.0])), np.array([0.0, 0.0, 0.02]))
    found = [{"name": "right", "T_cam_lidar": turned @ right}, {"name": "left", "T_cam_lidar": left}]
    told, = between(found, {"left": left, "right": right})
    assert told["cameras"] == ["right", "left"]
    np.testing.assert_allclose(told["T"], turned @ se3.make(np.eye(3), BASELINE), atol=1e-12)
    assert told["apart_deg"] == pytest.approx(0.5)
    shift = np.linalg.norm(turned[:3, :3] @ BASELINE + turned[:3, 3] - BASELINE)
    assert told["apart_cm"] == pytest.approx(100 * shift)
    unknown, = between(found, {"left": left, "right": None})
    assert "apart_deg" not in unknown and between(found[:1], {"right": right}) == []


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street in KITTI's raw layout, seen by two cameras of one rig."""
    date = tmp_path_factory.mktemp("stereo") / "2011_09_26"
    first = SyntheticSource("street", seed=1, frames=FRAMES)
    sources = {2: first, 3: SyntheticSource("street", seed=1, frames=FRAMES, T_cam_lidar=se3.make(
        np.eye(3), BASELINE) @ first.T_cam_lidar)}
    drive, K = date / "drive_0001_sync", first.camera.K
    for camera, source in sources.items():
        for index, sample in enumerate(source):
            picture = drive / f"image_0{camera}" / "data" / f"{index:010d}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(cv2.imencode(".png", sample.image[:, :, ::-1])[1].tobytes())
            points = drive / "velodyne_points" / "data" / f"{index:010d}.bin"
            points.parent.mkdir(parents=True, exist_ok=True)
            points.write_bytes(np.column_stack([sample.cloud.xyz, sample.cloud.intensity]).astype("<f4").tobytes())
    size = np.array([first.camera.width, first.camera.height])
    rect = {"S_rect_02": size, "S_rect_03": size, "P_rect_02": np.hstack([K, np.zeros((3, 1))]),
            "P_rect_03": np.hstack([K, (K @ BASELINE)[:, None]])}
    write_lines(date / "calib_cam_to_cam.txt", R_rect_00=np.eye(3), **rect)
    write_lines(date / "calib_velo_to_cam.txt", R=first.T_cam_lidar[:3, :3], T=first.T_cam_lidar[:3, 3])
    stamps = "".join(f"2011-09-26 13:02:25.{index}00000000\n" for index in range(FRAMES))
    for folder in ("image_02", "image_03", "velodyne_points"):
        (drive / folder / "timestamps.txt").write_text(stamps)
    return drive


def test_two_cameras_are_calibrated_in_one_call(stereo: Path, tmp_path: Path) -> None:
    settings, out = tmp_path / "settings.yaml", tmp_path / "rig"
    settings.write_text(f"candidates: {FRAMES}\nframes: {FRAMES}\nfolds: 0\n")
    outcome = crossi2p("calibrate", stereo, "--camera", "image_02,image_03", "--perturb", "1,10", "--config", settings,
                       "--weights", "none", "--out", out, "--camera-frame", "left,right", "--json")
    assert outcome.code == 0, outcome
    told = json.loads(outcome.out)
    truth = {name: np.asarray(open_source(stereo, camera=name)[0].T_cam_lidar) for name in ("image_02", "image_03")}
    np.testing.assert_allclose(truth["image_03"] @ se3.inverse(truth["image_02"]), se3.make(np.eye(3), BASELINE),
                               atol=1e-6)
    for record in told["cameras"]:
        found = read_calibration(out / record["name"] / "extrinsic.yaml")
        assert se3.rotation_error_deg(found, truth[record["name"]]) < 0.5
        assert 'child link="' + {"image_02": "left", "image_03": "right"}[record["name"]] in (
            out / record["name"] / "extrinsic.urdf.xml").read_text()
    relation, = told["between"]
    assert relation["cameras"] == ["image_02", "image_03"] and relation["apart_deg"] < 0.4
    assert json.loads((out / "report.json").read_text()) == told


def at_metres(x: float) -> np.ndarray:
    return se3.make(np.eye(3), np.array([x, 0.0, 0.0]))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Starts of two cameras, where a run with --out leaves them."""
    found = [tmp_path / "rig" / name / "extrinsic.yaml" for name in ("image_02", "image_03")]
    for number, file in enumerate(found):
        file.parent.mkdir(parents=True)
        write_calibration(file, Extrinsic(at_metres(number)))
    return found


def test_each_camera_starts_from_a_file_of_its_own(files: list[Path]) -> None:
    for told in (f"{files[0]}, {files[1]}", str(files[0].parents[1])):
        starts = read_options(Rig("drive", cameras="image_02,image_03", init=told)).starts
        for number, one in enumerate(starts):
            np.testing.assert_allclose(one.init, at_metres(number))
    one, = read_options(Rig("drive", cameras="image_03", init=str(files[1].parent))).starts
    np.testing.assert_allclose(one.init, at_metres(1))


def test_one_start_for_two_cameras_is_refused(files: list[Path], tmp_path: Path) -> None:
    for told in (files[0], f"{files[0]},{files[1]},{files[1]}"):
        assert_refused(crossi2p("calibrate", "drive", "--camera", "image_02,image_03", "--init", told), "of 2 starts")
    (tmp_path / "empty").mkdir()
    assert_refused(crossi2p("calibrate", "drive", "--init", tmp_path / "empty"), "extrinsic.yaml")


def test_a_vehicle_with_another_start_is_another_one(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files[0].parents[2])
    rig = _from_anywhere(Rig("drive", cameras="image_02,image_03", init="rig"))
    assert rig.init == ",".join(map(str, files))
    before = _digest(rig)
    assert _digest(rig) == before
    write_calibration(files[1], Extrinsic(at_metres(5)))
    assert _digest(rig) != before


def test_frames_and_topics_are_what_was_asked_else_recorded_else_by_the_cameras_name() -> None:
    bag = RobotNames("front_optical", "velodyne", "/front/image_raw", "/points")
    assert _robot(bag, "/front/image_raw", "", "") == bag
    assert _robot(bag, None, "eye", "top") == RobotNames("eye", "top", "/front/image_raw", "/points")
    assert _robot(RobotNames(), "/front/image_raw", "", "") == RobotNames(
        "front-image_raw_optical", "lidar", "/front-image_raw/image_raw", "/lidar/points")
    assert _robot(RobotNames(), None, "", "").camera_frame == "camera_optical"


class Believing:
    """Instead of a registrar: every start is right."""

    def __init__(self, *_: object) -> None: ...

    def register(self, _: Sample, prior: Prior) -> Registration:
        return Registration(np.asarray(prior.T_cam_lidar), 1e-6 * np.eye(6), "ok", "fits", 1.0, 0.5, 0.0)

    def register_joint(self, samples: list[Sample], prior: Prior, *_: object) -> Registration:
        return self.register(samples[0], prior)


def test_files_of_a_bags_cameras_have_its_frames_and_topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bags.RawBag(tmp_path / "bag") as raw:
        for one in (bags.sample(number) for number in range(2)):
            raw.cloud(one, frame="/velodyne")
            raw.camera("/front", one, frame="front_optical")
            raw.camera("/rear", one, frame="rear_optical")
    for name in ("front", "rear"):
        write_calibration(tmp_path / f"{name}.yaml", Extrinsic(bags.T_CAM_LIDAR))
    monkeypatch.setattr("crossi2p_core.registrar.Registrar", Believing)
    calibrate_rig(Rig(str(tmp_path / "bag"), cameras="/front,/rear", out=str(tmp_path / "out"),
                      init=f"{tmp_path / 'front.yaml'},{tmp_path / 'rear.yaml'}"))
    for name in ("front", "rear"):
        told = {file.name: file.read_text() for file in (tmp_path / "out" / name).iterdir()
                if file.suffix in (".xml", ".txt", ".yaml")}
        assert f'<parent link="velodyne"/>\n  <child link="{name}_optical"/>' in told["extrinsic.urdf.xml"]
        assert f"--frame-id velodyne --child-frame-id {name}_optical\n" in told["static_transform.txt"]
        for topic in (f"rostopic: /{name}/image_raw", "lidar_rostopic: /points"):
            assert topic in told["camchain.yaml"]
