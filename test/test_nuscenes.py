"""nuScenes in its native tables: the extrinsic with ego-motion, the choice of frames, and every kind of damage."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nuscenes_tree import FORWARD, LIDAR_QUATERNION, R_FORWARD, R_LIDAR, START, K, Tree, motion, picture, scan, turn

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.nuscenes import NuscenesSource, matches
from crossi2p_core.datasets.nuscenes_tables import _objects, read_rows
from crossi2p_core.errors import InputError
from crossi2p_core.geometry.quaternion import xyzw_from_rotation
from crossi2p_core.geometry.se3 import transform

EGO_LIDAR = ((600.0, 1600.0, 0.0), turn(30)[0])  # when the LiDAR fires
EGO_CAMERA = ((600.4, 1600.3, 0.0), turn(31)[0])  # 40 ms later: 0.5 m further, one degree to the left


@pytest.fixture
def tree(tmp_path) -> Tree:
    """Two scenes of two and one samples, two cameras, a sweep of the LiDAR and of one camera between."""
    tree = Tree(tmp_path / "nuscenes")
    lidar = tree.mount("LIDAR_TOP", (0.9, 0.0, 1.8), LIDAR_QUATERNION)
    cameras = {name: tree.mount(name, (1.7, 0.0, 1.5), FORWARD, K) for name in ("CAM_FRONT", "CAM_BACK")}
    for scene, samples in (("scene-0103", 1), ("scene-0061", 2)):
        scene_token = tree.add("scene", name=scene, nbr_samples=samples)
        for k in reversed(range(samples)):  # the tables need not be in order of time
            stamp = START + 500_000 * k
            sample = tree.add("sample", timestamp=stamp, scene_token=scene_token)
            tree.capture(sample, lidar, stamp, f"samples/LIDAR_TOP/{scene}_{k}.pcd.bin", scan(k), EGO_LIDAR)
            for name, sensor in cameras.items():
                tree.capture(sample, sensor, stamp + 40_000, f"samples/{name}/{scene}_{k}.png", picture(k), EGO_CAMERA)
            tree.capture(sample, lidar, stamp - 250_000, f"sweeps/LIDAR_TOP/{scene}_{k}.pcd.bin", scan(k), EGO_LIDAR,
                         False)
            tree.capture(sample, cameras["CAM_FRONT"], stamp - 240_000, f"sweeps/CAM_FRONT/{scene}_{k}.png", picture(k),
                         EGO_CAMERA, False)
    return tree


def test_extrinsic_contains_the_ego_motion_between_the_exposures(tree):
    sample = NuscenesSource(tree.write())[0]
    T_global_lidar = motion(turn(30)[1], (600, 1600, 0)) @ motion(R_LIDAR, (0.9, 0, 1.8))
    T_global_cam = motion(turn(31)[1], (600.4, 1600.3, 0)) @ motion(R_FORWARD, (1.7, 0, 1.5))
    np.testing.assert_allclose(sample.T_cam_lidar, np.linalg.inv(T_global_cam) @ T_global_lidar, atol=1e-9)
    np.testing.assert_allclose(sample.T_world_lidar, T_global_lidar, atol=1e-9)
    assert sample.stamp_image - sample.stamp_cloud == pytest.approx(0.04, abs=1e-6)


def test_driving_half_a_metre_brings_a_point_half_a_metre_nearer(tree):
    """A pole ahead of the LiDAR, not in its mounted place but where the camera meets it after the car moved on."""
    for row in tree.rows["ego_pose"]:
        row["rotation"] = turn(30)[0]
        ahead = 0.5 if (row["timestamp"] - START) % 500_000 == 40_000 else 0.0
        row["translation"] = [600 + ahead * math.cos(math.radians(30)), 1600 + ahead * math.sin(math.radians(30)), 0]
    sample = NuscenesSource(tree.write())[0]
    pole = np.array([0.0, 10.0, -0.3, 1])  # the LiDAR's y looks ahead: 10.9 m in front of the vehicle, 1.5 m high
    np.testing.assert_allclose(sample.T_cam_lidar @ pole, [0, 0, 10.9 - 1.7 - 0.5, 1], atol=1e-9)


def test_recorded_extrinsics_come_back_through_the_tables(data_dir, tmp_path):
    """The published sample: mountings as quaternions from its three cameras, one exposure time."""
    rig = data_dir / "rigs" / "nuscenes"
    tree = Tree(tmp_path)
    T_ego_lidar = motion(R_LIDAR, (0.943713, 0.0, 1.84023))
    lidar = tree.mount("LIDAR_TOP", T_ego_lidar[:3, 3], LIDAR_QUATERNION)
    sample = tree.add("sample", timestamp=START, scene_token=tree.add("scene", name="scene-0061"))
    points = np.fromfile(rig / "cam_front" / "cloud.bin", "<f4").reshape(-1, 4)
    table = np.hstack([points, np.arange(len(points))[:, None] % 32]).astype("<f4")
    tree.capture(sample, lidar, START, "samples/LIDAR_TOP/a.pcd.bin", table.tobytes(), EGO_LIDAR)
    recorded = {}
    for folder in sorted(rig.iterdir()):
        calib = json.loads((folder / "calib.json").read_text())
        T_ego_cam = T_ego_lidar @ np.linalg.inv(calib["T_cam_lidar"])
        rotation = np.roll(xyzw_from_rotation(T_ego_cam[:3, :3]), 1).tolist()
        camera = tree.mount(folder.name.upper(), T_ego_cam[:3, 3].tolist(), rotation, calib["K"])
        tree.capture(sample, camera, START, f"samples/{folder.name.upper()}/a.jpg", (folder / "image.jpg").read_bytes(),
                     EGO_LIDAR, size=(calib["width"], calib["height"]))
        recorded[folder.name.upper()] = calib
    source = open_source(tree.write(), camera="all")
    assert source.kind == "nuScenes" and source.names == [f"scene-0061/0000_{name}" for name in sorted(recorded)]
    for frame in source:
        calib = recorded[frame.rig.partition("/")[0]]
        np.testing.assert_allclose(frame.T_cam_lidar, calib["T_cam_lidar"], atol=1e-5)
        np.testing.assert_array_equal(frame.camera.K, calib["K"])
        valid = frame.camera.project(transform(frame.T_cam_lidar, frame.cloud.xyz))[1]
        assert valid.mean() > 0.05
    finite = points[np.isfinite(points).all(axis=1) & (points[:, :3] != 0).any(axis=1)]
    np.testing.assert_array_equal(source[0].cloud.xyz, finite[:, :3])
    assert source[0].cloud.ring.max() == 31
    np.testing.assert_allclose(source[0].cloud.intensity, finite[:, 3] / 255, atol=1e-6)


def test_key_frames_are_named_by_scene_and_number_in_time(tree):
    source = NuscenesSource(tree.write())
    assert source.names == ["scene-0061/0000_CAM_FRONT", "scene-0061/0001_CAM_FRONT", "scene-0103/0000_CAM_FRONT"]
    assert source[1].stamp_cloud - source[0].stamp_cloud == pytest.approx(0.5)
    facts = source.describe()
    assert facts["frames"] == 3 and facts["rigs"] == 1 and facts["scenes"] == 2 and facts["has_truth"]


def test_all_cameras_have_their_own_rig(tree):
    source = NuscenesSource(tree.write(), camera="all")
    assert len(source) == 6 and source.describe()["rigs"] == 2
    assert list(source.describe()["cameras"]) == ["CAM_BACK", "CAM_FRONT"]
    assert {sample.rig.partition("/")[0] for sample in source} == {"CAM_FRONT", "CAM_BACK"}


def test_sweeps_are_paired_with_the_nearest_image(tree):
    source = NuscenesSource(tree.write(), sweeps=True, scenes="scene-0061")
    assert source.names == [f"scene-0061/sweep-{k:04d}_CAM_FRONT" for k in range(4)]
    apart = [sample.stamp_image - sample.stamp_cloud for sample in source]
    np.testing.assert_allclose(apart, [0.01, 0.04, 0.01, 0.04], atol=1e-6)


def test_a_sweep_without_an_image_near_it_is_left_out(tree):
    assert len(NuscenesSource(tree.write(), camera="CAM_BACK", sweeps=True)) == 3


def test_scenes_split_the_recording(tree):
    root = tree.write()
    assert NuscenesSource(root, scenes=["scene-0103"]).names == ["scene-0103/0000_CAM_FRONT"]
    assert len(NuscenesSource(root, scenes="scene-0103, scene-0061")) == 3
    with pytest.raises(InputError, match="did you mean scene-0103"):
        NuscenesSource(root, scenes="scene-0102")


def test_the_version_is_found_or_asked_for(tree):
    root = tree.write()
    assert matches(root) and matches(root / "v1.0-mini") and not matches(root / "samples")
    assert len(NuscenesSource(root / "v1.0-mini")) == 3
    tree.tables = root / "v1.0-trainval"
    tree.write()
    with pytest.raises(InputError, match=r"version=v1\.0-mini or version=v1\.0-trainval"):
        NuscenesSource(root)
    assert len(NuscenesSource(root, version="mini")) == len(NuscenesSource(root, version="v1.0-trainval")) == 3
    with pytest.raises(InputError, match=r"no version 'v1\.0-test'"):
        NuscenesSource(root, version="v1.0-test")


def test_frames_whose_files_are_elsewhere_are_left_out_and_counted(tree):
    root = tree.write()
    (root / "samples/CAM_FRONT/scene-0103_0.png").unlink()
    facts = NuscenesSource(root).describe()
    assert facts["frames"] == 2 and any(note.startswith("1 frames are left out") for note in facts["notes"])
    (root / "samples/LIDAR_TOP").rename(root / "samples/elsewhere")
    with pytest.raises(InputError, match="no frame"):
        NuscenesSource(root)


def damage(tree: Tree, table: str, row: int, **values) -> Path:
    tree.rows[table][row].update(values)
    return tree.write()


@pytest.mark.parametrize(("table", "row", "values", "words"), [
    ("calibrated_sensor", 0, {"rotation": [0, 0, 0, 0]}, "no unit quaternion"),
    ("calibrated_sensor", 0, {"rotation": [1, 0, 0]}, "rotation must be 4 finite numbers"),
    ("calibrated_sensor", 1, {"translation": ["a", 0, 0]}, "translation must be 3 finite numbers"),
    ("calibrated_sensor", 1, {"camera_intrinsic": [[1, 0], [0, 1]]}, "camera_intrinsic must be 3x3"),
    ("calibrated_sensor", 1, {"sensor_token": "gone"}, "not in sensor.json"),
    ("ego_pose", 0, {"token": "gone"}, "lacks 1 of the poses"),
    ("ego_pose", 0, {"rotation": [float("nan"), 0, 0, 0]}, "finite numbers"),
    ("sample_data", 0, {"timestamp": None}, "no number"),
    ("sample_data", 0, {"timestamp": float("inf")}, "no number"),
    ("sample_data", 0, {"timestamp": 10**40}, "no number"),
    ("sample_data", 0, {"filename": None}, "is no text"),
    ("sample", 0, {"token": ["a"]}, "is no text"),
    ("ego_pose", 0, {"token": 7}, "is no text"),
])
def test_a_damaged_row_is_told_in_words(tree, table, row, values, words):
    with pytest.raises(InputError, match=words):
        NuscenesSource(damage(tree, table, row, **values))


def test_zero_intrinsics_are_refused(tree):
    source = NuscenesSource(damage(tree, "calibrated_sensor", 1, camera_intrinsic=[[0.0] * 3] * 3))
    with pytest.raises(InputError):
        source[0]


def test_intrinsics_of_another_image_size_are_refused(tree):
    for row in tree.rows["sample_data"]:
        row["width"] *= 2
    with pytest.raises(InputError, match="64x48"):
        NuscenesSource(tree.write())[0]


@pytest.mark.parametrize(("filename", "words"), [
    ("samples/LIDAR_TOP/scene-0061_0.pcd.bin", "whole number"), ("samples/CAM_FRONT/scene-0061_0.png", "truncated")])
def test_cut_off_files_are_told_in_words(tree, filename, words):
    root = tree.write()
    data = (root / filename).read_bytes()
    (root / filename).write_bytes(data[:len(data) // 2 + 1])
    with pytest.raises(InputError, match=words):
        NuscenesSource(root)[0]


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b"[{\"token\": \"a\"}, {\"tok", b"[1, 2]", b"[{\"token\": }]",
                                     b"[{\"token\": \"a\"}", b"\xff\xfe\x00[", b"[{\"name\": \"a\"}]",
                                     b"[" * 100_000, b"[" + b"9" * 5000 + b"]"])
@pytest.mark.parametrize("table", ["sensor", "sample_data", "ego_pose"])
def test_a_broken_table_is_told_in_words(tree, table, content):
    (tree.write() / "v1.0-mini" / f"{table}.json").write_bytes(content)
    with pytest.raises(InputError, match=table):
        NuscenesSource(tree.root)


def test_a_missing_table_and_an_unknown_camera_are_told_in_words(tree):
    root = tree.write()
    with pytest.raises(InputError, match="choose one of CAM_BACK, CAM_FRONT, or all"):
        NuscenesSource(root, camera="CAM_TOP")
    (root / "v1.0-mini/ego_pose.json").unlink()
    with pytest.raises(InputError, match=r"cannot read the table .*ego_pose\.json"):
        NuscenesSource(root)


ROW = st.fixed_dictionaries({"token": st.text(max_size=8), "values": st.lists(st.floats(-1e6, 1e6), max_size=3)})


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(ROW, max_size=12), indent=st.sampled_from([None, 0, 2]), window=st.integers(250, 400))
def test_tables_are_read_whole_through_any_window(tmp_path_factory, rows, indent, window):
    path = tmp_path_factory.mktemp("table") / "t.json"
    path.write_text(json.dumps(rows, indent=indent))
    assert list(read_rows(path, ("token", "values"), window)) == [(row["token"], row["values"]) for row in rows]


def test_a_table_damaged_early_is_not_read_to_its_end(tmp_path):
    file = io.StringIO("[{\"token\": oops}" + ", {\"token\": \"a\"}" * 1000 + "]")
    with pytest.raises(InputError, match="damaged"):
        list(_objects(file.read, 100, tmp_path))
    assert file.tell() < 1000
