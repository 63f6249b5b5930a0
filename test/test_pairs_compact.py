"""Pairs written by hand, and the compact layout: what goes in comes out, also after an interruption."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import recordings as rec

from crossi2p_core.datasets import Source, open_source
from crossi2p_core.datasets.compact_writer import prepare
from crossi2p_core.errors import InputError


def flat_layout(folder: Path, names: str) -> Path:
    """NAME.jpg + NAME.bin with one shared calib.json."""
    calibration = rec.write_pair(folder / "temporary") / "calib.json"
    calibration.rename(folder / "calib.json")
    shutil.rmtree(folder / "temporary")
    for seed, name in enumerate(names):
        rec.write_image(folder / f"{name}.jpg", seed)
        rec.write_scan(folder / f"{name}.bin", seed)
    return folder


def test_a_single_pair(tmp_path: Path) -> None:
    source = open_source(rec.write_pair(tmp_path / "kitchen", D=[0.1, -0.05, 0, 0], distortion_model="plumb_bob"))
    sample = source[0]
    assert source.names == ["kitchen"] and source.kind == "pairs"
    assert np.array_equal(sample.camera.K, rec.K) and sample.camera.model == "plumb_bob"
    assert np.allclose(sample.camera.distortion[:4], [0.1, -0.05, 0, 0])
    assert np.allclose(sample.T_cam_lidar[:3], rec.TR, atol=1e-9)
    assert np.array_equal(sample.cloud.xyz, rec.scan(0)[:, :3])


def test_folders_of_pairs_at_any_depth(tmp_path: Path) -> None:
    for seed, name in enumerate(("b/2", "b/1", "a/1")):
        rec.write_pair(tmp_path / name, seed)
    source = open_source(tmp_path)
    assert source.names == ["a/1", "b/1", "b/2"] and source.kind == "pairs"
    assert [len(open_source(tmp_path / part)) for part in "ab"] == [1, 2]
    assert np.array_equal(source[2].cloud.xyz, rec.scan(0)[:, :3])


def test_a_flat_folder_with_one_calibration_for_all(tmp_path: Path) -> None:
    source = open_source(flat_layout(tmp_path, "nml"))
    assert source.names == ["l", "m", "n"]
    assert np.array_equal(source[0].cloud.xyz, rec.scan(2)[:, :3])
    own = json.loads((tmp_path / "calib.json").read_text()) | {"T_cam_lidar": None}
    (tmp_path / "m.json").write_text(json.dumps(own))
    assert [sample.T_cam_lidar is None for sample in open_source(tmp_path)] == [False, True, False]
    assert open_source(tmp_path).describe()["has_truth"] is False


def test_upper_case_endings_count_and_lonely_images_are_told(tmp_path: Path) -> None:
    flat_layout(tmp_path, "ab")
    (tmp_path / "a.jpg").rename(tmp_path / "a.JPG")
    (tmp_path / "b.bin").unlink()
    source = open_source(tmp_path)
    assert source.names == ["a"] and "image but no scan: b" in " ".join(source.describe()["notes"])


def test_links_to_folders_of_one_name_are_two_frames(tmp_path: Path) -> None:
    for number in (0, 1):
        rec.write_pair(tmp_path / f"recording_{number}/frame", number)
        (tmp_path / "links").mkdir(exist_ok=True)
        (tmp_path / f"links/{number:04d}").symlink_to(tmp_path / f"recording_{number}/frame")
    source = open_source(tmp_path / "links")
    assert source.names == ["0000", "0001"] and not np.array_equal(source[0].cloud.xyz, source[1].cloud.xyz)


@pytest.mark.parametrize(("text", "words"), [
    ('{"K": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "K": [[2, 0, 0], [0, 2, 0], [0, 0, 1]]}', "'K' twice"),
    ('{"K": [[9, 0, 9], [0, 9, 9], [0, 0, 1]], "distortion_model": "plumb_bob", "distortion": [1]}', "has no D")])
def test_a_calibration_of_two_minds_is_refused(tmp_path: Path, text: str, words: str) -> None:
    rec.write_pair(tmp_path / "a")
    (tmp_path / "a/calib.json").write_text(text)
    with pytest.raises(InputError, match=words):
        open_source(tmp_path / "a")[0]


def test_the_size_defaults_to_the_image(tmp_path: Path) -> None:
    rec.write_pair(tmp_path, width=None, height=None, T_cam_lidar=None)
    sample = open_source(tmp_path)[0]
    assert (sample.camera.width, sample.camera.height) == (rec.WIDTH, rec.HEIGHT)


@pytest.mark.parametrize(("change", "same"), [
    ({}, True),
    ({"K": (rec.K + np.eye(3) * [1, 1, 0]).tolist()}, False),
    ({"D": [0.1, 0, 0, 0], "distortion_model": "plumb_bob"}, False),
    ({"T_cam_lidar": np.vstack([rec.TR + np.array([0, 0, 0, 0.001]), [0, 0, 0, 1]]).tolist()}, False),
    ({"T_cam_lidar": None}, False),
])
def test_equal_rig_means_equal_calibration(tmp_path: Path, change: dict[str, object], same: bool) -> None:
    rec.write_pair(tmp_path / "one")
    rec.write_pair(tmp_path / "two", 1, **change)
    source = open_source(tmp_path)
    assert (source[0].rig == source[1].rig) is same
    assert source.describe()["rigs"] == (1 if same else 2)


def test_real_rigs_open_and_share_rigs_only_where_true(data_dir: Path) -> None:
    source = open_source(data_dir / "rigs")
    assert len(source) == 21 and "acfr_vlp16_fisheye/pose03" in source.names
    first = {}
    for index, name in enumerate(source.names):
        if not name.startswith(("acfr", "sustech", "nuscenes")):
            continue
        sample = source[index]
        known = first.setdefault(sample.rig, sample)
        assert np.array_equal(sample.T_cam_lidar, known.T_cam_lidar) and np.array_equal(sample.camera.K, known.camera.K)
    assert len(first) == 5  # one fisheye, one front camera, three of nuScenes


def test_a_scan_of_zero_intensity_has_none(data_dir: Path) -> None:
    assert open_source(data_dir / "rigs/livox")[0].cloud.intensity is None


def test_real_compact_folders_open_as_one(data_dir: Path) -> None:
    source = open_source(data_dir / "compact")
    assert source.kind == "compact" and len(source) == 149
    sample = source[source.index_of("kitti_raw_drive/0000")]
    raw = open_source(data_dir / "kitti_raw")[0]
    assert np.allclose(sample.T_cam_lidar, raw.T_cam_lidar, atol=1e-8)
    assert np.allclose(sample.camera.K, raw.camera.K)
    assert 0.1 < sample.cloud.intensity.mean() < 0.5 and sample.cloud.intensity.max() <= 1


def test_prepare_keeps_what_the_layout_can_hold(tmp_path: Path) -> None:
    rec.write_kitti_odometry(tmp_path / "in")
    source = open_source(tmp_path / "in")
    steps: list[tuple[int, int]] = []
    assert prepare(source, tmp_path / "out", lambda done, total: steps.append((done, total))) == 3
    assert steps == [(1, 3), (2, 3), (3, 3)]
    copy = open_source(tmp_path / "out")
    assert copy.kind == "compact" and copy.names == source.names
    for before, after in zip(source, copy, strict=True):
        assert np.array_equal(after.camera.K, before.camera.K) and after.stamp_cloud == before.stamp_cloud
        assert np.allclose(after.T_cam_lidar, before.T_cam_lidar, atol=1e-12)
        assert np.allclose(after.T_world_lidar, before.T_world_lidar, atol=1e-12)
        assert np.abs(after.image.astype(int) - before.image).mean() < 6
        distance = np.linalg.norm(after.cloud.xyz[:, None] - before.cloud.xyz[None], axis=2)
        assert distance.min(axis=1).max() <= 0.0025 * 3**0.5 + 1e-5  # every point is a real one, rounded to 5 mm
        nearest = distance.argmin(axis=1)
        assert np.abs(after.cloud.intensity - before.cloud.intensity[nearest]).max() <= 0.5 / 255 + 1e-6


def test_prepare_keeps_distortion_and_missing_truth(tmp_path: Path) -> None:
    rec.write_pair(tmp_path / "in/a", D=[0.01, 0, 0, 0], distortion_model="equidistant", T_cam_lidar=None)
    prepare(open_source(tmp_path / "in"), tmp_path / "out")
    sample = open_source(tmp_path / "out")[0]
    assert sample.camera.model == "equidistant" and sample.camera.distortion[0] == 0.01
    assert sample.T_cam_lidar is None


def test_a_dark_scan_stays_dark(tmp_path: Path) -> None:
    """Intensities of at most 1/255 are stored as 0 and 1, which must not be taken for a scale of 0..1."""
    rec.write_pair(tmp_path / "in/a")
    dark = rec.scan(0) * np.float32([1, 1, 1, 1 / 255])
    (tmp_path / "in/a/cloud.bin").write_bytes(dark.tobytes())
    prepare(open_source(tmp_path / "in"), tmp_path / "out")
    assert open_source(tmp_path / "out")[0].cloud.intensity.max() == pytest.approx(1 / 255, rel=1e-3)


def test_prepare_leaves_out_what_int16_cannot_hold(tmp_path: Path) -> None:
    rec.write_pair(tmp_path / "in/a")
    far = np.array([[400, 0, 0, 1], [10, 1, 0, 0.5]], np.float32)
    (tmp_path / "in/a/cloud.bin").write_bytes(far.tobytes())
    prepare(open_source(tmp_path / "in"), tmp_path / "out")
    assert np.allclose(open_source(tmp_path / "out")[0].cloud.xyz, [[10, 1, 0]], atol=0.0026)


def stop_at(frame: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == frame:
            raise KeyboardInterrupt

    return progress


def test_prepare_resumes_where_it_was_stopped(tmp_path: Path) -> None:
    rec.write_kitti_odometry(tmp_path / "in", frames=5)
    source = open_source(tmp_path / "in")
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out", stop_at(2))
    assert len(open_source(tmp_path / "out")) == 2
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.npz")}
    assert prepare(source, tmp_path / "out") == 3
    assert open_source(tmp_path / "out").names == source.names
    assert all(file.stat().st_mtime_ns == before for file, before in times.items())
    assert prepare(source, tmp_path / "out") == 0


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


@pytest.mark.parametrize("kind", ["kitti", "synthetic"])
def test_several_processes_write_what_one_would(tmp_path: Path, kind: str) -> None:
    rec.write_kitti_odometry(tmp_path / "in", frames=9)
    source = open_source(tmp_path / "in") if kind == "kitti" else open_source("synthetic:hall?seed=1&frames=6",
                                                                            camera="small", lidar="vlp16")
    assert prepare(source, tmp_path / "one") == len(source)
    assert prepare(source, tmp_path / "two", jobs=2) == len(source)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert prepare(source, tmp_path / "two", jobs=2) == 0


def test_a_broken_frame_ends_several_processes_with_its_name_and_keeps_the_others(tmp_path: Path) -> None:
    rec.write_kitti_odometry(tmp_path / "in", frames=9)
    next(iter(sorted((tmp_path / "in").rglob("000007.bin")))).write_bytes(b"xyz")
    source = open_source(tmp_path / "in")
    with pytest.raises(InputError, match="000007"):
        prepare(source, tmp_path / "out", jobs=2)
    assert len(open_source(tmp_path / "out")) >= 4


def test_prepare_writes_a_lost_file_again(tmp_path: Path) -> None:
    rec.write_kitti_odometry(tmp_path / "in")
    prepare(open_source(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "out/sequences/00/000001.npz").unlink()
    assert prepare(open_source(tmp_path / "in"), tmp_path / "out") == 1


@pytest.mark.parametrize("other", ["camera", "recording"])
def test_prepare_does_not_mix_sources(tmp_path: Path, other: str) -> None:
    drive = rec.write_kitti_raw(tmp_path / "2011_09_26")
    second = rec.write_kitti_raw(tmp_path / "2011_09_28")
    prepare(open_source(drive), tmp_path / "out")
    wrong = open_source(drive, camera="image_03") if other == "camera" else open_source(second)
    with pytest.raises(InputError, match="choose another folder"):
        prepare(wrong, tmp_path / "out")


def test_prepare_notices_another_recording_at_the_same_path(tmp_path: Path) -> None:
    rec.write_kitti_odometry(tmp_path / "usb", frames=1)
    assert prepare(open_source(tmp_path / "usb"), tmp_path / "out") == 1
    rec.write_kitti_odometry(tmp_path / "usb", frames=3)  # more of the same is none, nor another part of it
    assert prepare(open_source(tmp_path / "usb")[1:2], tmp_path / "out") == 1
    assert prepare(open_source(tmp_path / "usb"), tmp_path / "out") == 1
    (scan,) = tmp_path.glob("usb/**/000000.bin")
    rec.write_scan(scan, 7)
    with pytest.raises(InputError, match="another recording lies at"):
        prepare(open_source(tmp_path / "usb"), tmp_path / "out")


def test_prepare_does_not_write_into_a_foreign_folder(tmp_path: Path) -> None:
    source = open_source(rec.write_pair(tmp_path / "in/a"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not empty"):
        prepare(source, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_prepare_where_nothing_can_be_written(tmp_path: Path) -> None:
    source = open_source(rec.write_pair(tmp_path / "in/a"))
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot write"):
        prepare(source, tmp_path / "file/out")
    with pytest.raises(InputError, match="cannot write"):
        prepare(source, tmp_path / "file")


def test_prepare_tells_which_frame_is_damaged_and_keeps_the_others(tmp_path: Path) -> None:
    folder = rec.write_kitti_odometry(tmp_path / "in")
    (folder / "velodyne/000001.bin").write_bytes(b"12345")
    with pytest.raises(InputError, match=r"000001\.bin"):
        prepare(open_source(folder), tmp_path / "out")
    assert open_source(tmp_path / "out").names == ["000000"]


def test_prepare_of_a_view(tmp_path: Path) -> None:
    source: Source = open_source(rec.write_kitti_odometry(tmp_path / "in", frames=4))
    assert prepare(source[:2], tmp_path / "out") == 2
    assert prepare(source, tmp_path / "out") == 2  # the same recording, more of it


@pytest.mark.parametrize("name", ["../escape", "/absolute", "a/../../b", ""])
def test_index_names_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    prepare(open_source(rec.write_pair(tmp_path / "in/a")), tmp_path / "out")
    index = json.loads((tmp_path / "out/index.json").read_text())
    (tmp_path / "out/index.json").write_text(json.dumps({name: index["a"]}))
    with pytest.raises(InputError, match="no usable frame"):
        open_source(tmp_path / "out")
