"""KITTI raw, odometry and object: the extrinsic is judged by KITTI's own projection chain, written out here again."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import recordings as rec

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.kitti_calibration import read_calibration
from crossi2p_core.errors import InputError
from crossi2p_core.types import Sample


def kitti_pixels(P: np.ndarray, R_rect: np.ndarray, Tr: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """(N, 2) pixels by x = P R_rect Tr X, as the dataset's paper states it."""
    homogeneous = P @ np.vstack([R_rect @ Tr @ np.vstack([xyz.T, np.ones(len(xyz))]), np.ones(len(xyz))])
    return (homogeneous[:2] / homogeneous[2]).T


def our_pixels(sample: Sample, xyz: np.ndarray) -> np.ndarray:
    points = xyz @ sample.T_cam_lidar[:3, :3].T + sample.T_cam_lidar[:3, 3]
    return np.asarray(sample.camera.project(points)[0])


@pytest.fixture
def raw_drive(tmp_path: Path) -> Path:
    return rec.write_kitti_raw(tmp_path / "2011_09_26")


@pytest.mark.parametrize(("camera", "number"), [(None, 2), ("image_02", 2), ("left", 2), ("image_03", 3), ("3", 3)])
def test_raw_projects_as_kitti_does(raw_drive: Path, camera: str | None, number: int) -> None:
    sample = open_source(raw_drive, camera=camera)[1]
    xyz = rec.scan(1)[:, :3].astype(np.float64)
    assert np.abs(our_pixels(sample, xyz) - kitti_pixels(rec.P[number], rec.R_RECT, rec.TR, xyz)).max() < 1e-6
    written = cv2.imread(str(raw_drive / f"image_0{number}/data/0000000001.png"))[:, :, ::-1]
    assert np.array_equal(sample.image, written)
    assert np.array_equal(sample.cloud.xyz, rec.scan(1)[:, :3])
    assert np.array_equal(sample.cloud.intensity, rec.scan(1)[:, 3])


def test_the_two_colour_cameras_stand_a_baseline_apart(raw_drive: Path) -> None:
    left, right = (open_source(raw_drive, camera=name)[0] for name in ("left", "right"))
    shift = right.T_cam_lidar @ np.linalg.inv(left.T_cam_lidar)
    assert np.allclose(shift[:3, :3], np.eye(3), atol=1e-12)
    assert np.allclose(shift[:3, 3], rec.OFFSETS[3] - rec.OFFSETS[2], atol=1e-9)
    assert left.rig != right.rig


def test_real_raw_drive_projects_as_kitti_does(data_dir: Path) -> None:
    date = data_dir / "kitti_raw/2011_09_26"
    sample = open_source(date)[0]
    cameras, velo = read_calibration(date / "calib_cam_to_cam.txt"), read_calibration(date / "calib_velo_to_cam.txt")
    Tr = np.hstack([velo["R"].reshape(3, 3), velo["T"][:, None]])
    xyz = sample.cloud.xyz[sample.cloud.xyz[:, 0] > 5].astype(np.float64)[::50]
    expected = kitti_pixels(cameras["P_rect_02"].reshape(3, 4), cameras["R_rect_00"].reshape(3, 3), Tr, xyz)
    # The file's matrices are rounded to seven digits and ours are exact rotations: the rest is their rounding.
    assert np.abs(our_pixels(sample, xyz) - expected).max() < 0.02
    assert len(sample.cloud) > 100_000


def test_a_date_folder_opens_its_only_drive_or_all_of_them(raw_drive: Path,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    assert open_source(raw_drive.parent).kind == "kitti_raw" and len(open_source(raw_drive.parent)) == 3
    rec.write_kitti_raw(raw_drive.parent, "drive_0002_sync", frames=1)
    rec.write_kitti_raw(raw_drive.parent, "drive_0002_extract", frames=1)
    for above in (raw_drive.parent, raw_drive.parent.parent):
        assert len(open_source(above)) == 4
        assert "left out" in (said := capsys.readouterr().err) and "drive_0002_extract holds unrectified" in said


def test_frames_without_image_or_scan_are_left_out_and_told(raw_drive: Path) -> None:
    (raw_drive / "image_02/data/0000000001.png").unlink()
    (raw_drive / "velodyne_points/data/0000000002.bin").unlink()
    for name in ("image_02/data/._0000000000.png", "velodyne_points/data/._0000000000.bin"):  # macOS leaves these
        (raw_drive / name).write_bytes(b"")
    source = open_source(raw_drive)
    assert source.names == ["0000000000"]
    notes = " ".join(source.describe()["notes"])
    assert "scan but no image: 0000000001" in notes and "image but no scan: 0000000002" in notes


def test_raw_times_belong_to_the_frame_number(raw_drive: Path) -> None:
    (raw_drive / "image_02/data/0000000001.png").unlink()
    last = open_source(raw_drive)[-1]
    assert last.name == "0000000002"
    assert last.stamp_image == pytest.approx(1317042147.964389445, abs=1e-6)  # 2011-09-26 13:02:27.96 UTC
    (raw_drive / "velodyne_points/timestamps.txt").write_text("yesterday\n")
    with pytest.raises(InputError, match=r"timestamps\.txt"):
        open_source(raw_drive)


def test_raw_poses_follow_the_gps(raw_drive: Path) -> None:
    """Second packet: 10 m north of the first, heading north (yaw 90 deg); LiDAR 1 m ahead of the IMU."""
    lift = np.array([-1.0, 0, 0])
    rec.write_lines(raw_drive.parent / "calib_imu_to_velo.txt", R=np.eye(3), T=lift)
    north = np.degrees(10.0 / 6378137.0)
    rest = " ".join(["0"] * 24)
    (raw_drive / "oxts/data").mkdir(parents=True)
    packets = (f"49.0 8.4 110.0 0 0 0 {rest}", f"{49 + north:.12f} 8.4 112.0 0 0 {np.pi / 2} {rest}")
    for index, packet in enumerate(packets):
        (raw_drive / f"oxts/data/{index:010d}.txt").write_text(packet)
    source = open_source(raw_drive)
    assert np.allclose(source[0].T_world_lidar[:3, 3], [1, 0, 0], atol=1e-6)
    assert np.allclose(source[1].T_world_lidar[:3, 3], [0, 10 + 1, 2], atol=1e-3)
    assert np.allclose(source[1].T_world_lidar[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-9)  # ahead is north
    assert source[2].T_world_lidar is None
    (raw_drive / "oxts/data/0000000001.txt").write_text("nan nan")
    with pytest.raises(InputError, match="0000000001"):
        source[1]


@pytest.mark.parametrize(("camera", "number"), [(None, 2), ("image_3", 3)])
def test_odometry_projects_as_kitti_does(tmp_path: Path, camera: str | None, number: int) -> None:
    sample = open_source(rec.write_kitti_odometry(tmp_path), camera=camera)[2]
    xyz = rec.scan(2)[:, :3].astype(np.float64)
    assert np.abs(our_pixels(sample, xyz) - kitti_pixels(rec.P[number], rec.R_RECT, rec.TR, xyz)).max() < 1e-6
    assert sample.stamp_image == sample.stamp_cloud == pytest.approx(0.2)


def test_odometry_poses_of_camera_0_become_poses_of_the_lidar(tmp_path: Path) -> None:
    source = open_source(rec.write_kitti_odometry(tmp_path))
    T_cam0_lidar = np.vstack([rec.R_RECT @ rec.TR, [0, 0, 0, 1]])
    for index in range(3):
        expected = T_cam0_lidar.copy()
        expected[2, 3] += index  # camera 0 moved that far ahead
        assert np.allclose(source[index].T_world_lidar, expected, atol=1e-9)


def test_odometry_root_holds_its_sequences(tmp_path: Path) -> None:
    rec.write_kitti_odometry(tmp_path, "00", frames=1)
    rec.write_kitti_odometry(tmp_path, "11", frames=2, poses=False)
    source = open_source(tmp_path)
    assert source.kind == "kitti_odometry"
    assert source.names == ["sequences/00/000000", "sequences/11/000000", "sequences/11/000001"]
    assert source[0].T_world_lidar is not None and source[2].T_world_lidar is None


def test_odometry_reads_tr_without_its_colon(tmp_path: Path) -> None:
    folder = rec.write_kitti_odometry(tmp_path)
    before = open_source(folder)[0].T_cam_lidar
    calibration = folder / "calib.txt"
    calibration.write_text(calibration.read_text().replace("Tr:", "Tr"))
    assert np.array_equal(open_source(folder)[0].T_cam_lidar, before)


def test_real_frames_in_the_odometry_layout_have_the_same_extrinsic(data_dir: Path, tmp_path: Path) -> None:
    date = data_dir / "kitti_raw/2011_09_26"
    raw = open_source(date)
    cameras, velo = read_calibration(date / "calib_cam_to_cam.txt"), read_calibration(date / "calib_velo_to_cam.txt")
    Tr = cameras["R_rect_00"].reshape(3, 3) @ np.hstack([velo["R"].reshape(3, 3), velo["T"][:, None]])
    folder = tmp_path / "sequences/04"
    rec.write_lines(folder / "calib.txt", P2=cameras["P_rect_02"], Tr=Tr)
    for kind, part, ending in (("image_2", "image_02", ".png"), ("velodyne", "velodyne_points", ".bin")):
        (folder / kind).mkdir()
        (folder / kind / f"000000{ending}").symlink_to(raw.path / part / "data" / f"0000000000{ending}")
    sample = open_source(tmp_path)[0]
    assert np.allclose(sample.T_cam_lidar, raw[0].T_cam_lidar, atol=1e-6)
    assert np.array_equal(sample.image, raw[0].image)
    assert sample.T_world_lidar is None and sample.stamp_image is None


def test_object_frames_have_their_own_calibration(tmp_path: Path) -> None:
    source = open_source(rec.write_kitti_object(tmp_path))
    xyz = rec.scan(0)[:, :3].astype(np.float64)
    first, second, last = source
    assert np.abs(our_pixels(first, xyz) - kitti_pixels(rec.P[2], rec.R_RECT, rec.TR, xyz)).max() < 1e-6
    assert last.camera.K[0, 0] == pytest.approx(1.1 * rec.K[0, 0])
    assert first.rig == second.rig != last.rig
    assert source.describe()["rigs"] == 2
    assert open_source(tmp_path).names == ["training/000000", "training/000001", "training/000002"]


def test_real_object_frames_group_by_calibration(data_dir: Path) -> None:
    source = open_source(data_dir / "kitti_object")
    groups: dict[str, list[Sample]] = {}
    for sample in source:
        groups.setdefault(sample.rig, []).append(sample)
    assert source.describe()["rigs"] == len(groups) == 2
    for group in groups.values():
        for sample in group:
            assert np.array_equal(sample.T_cam_lidar, group[0].T_cam_lidar)
            assert np.array_equal(sample.camera.K, group[0].camera.K)


def test_unknown_camera_is_refused_in_words(raw_drive: Path) -> None:
    with pytest.raises(InputError, match=r"image_02 .* image_03"):
        open_source(raw_drive, camera="image_00")


@pytest.mark.parametrize(("file", "line"), [
    ("calib_cam_to_cam.txt", "P_rect_02"), ("calib_cam_to_cam.txt", "R_rect_00"), ("calib_cam_to_cam.txt", "S_rect_02"),
    ("calib_velo_to_cam.txt", "R"), ("calib_velo_to_cam.txt", "T"),
])
@pytest.mark.parametrize("damage", ["missing", "short", "nan", "words"])
def test_damaged_calibration_lines_are_named(raw_drive: Path, file: str, line: str, damage: str) -> None:
    path = raw_drive.parent / file
    new = {"missing": "", "short": f"{line}: 1.0", "words": f"{line}: none"}
    lines = path.read_text().splitlines()
    k = next(i for i, text in enumerate(lines) if text.startswith(f"{line}:"))
    count = len(lines[k].split()) - 1
    lines[k] = new.get(damage, f"{line}: nan" + " 1.0" * (count - 1))
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"{line}\b"):
        open_source(raw_drive)


def test_object_calibration_is_checked(tmp_path: Path) -> None:
    folder = rec.write_kitti_object(tmp_path)
    source = open_source(folder)
    good = {"P2": rec.P[2], "R0_rect": rec.R_RECT, "Tr_velo_to_cam": rec.TR}
    for bad in ({"P2": 0 * rec.P[2]}, {"R0_rect": 1.3 * rec.R_RECT}, {"Tr_velo_to_cam": np.abs(rec.TR)}):
        rec.write_lines(folder / "calib/000000.txt", **(good | bad))
        with pytest.raises(InputError, match=rf"{next(iter(bad))}.*000000"):
            source[0]
    (folder / "calib/000000.txt").unlink()
    with pytest.raises(InputError, match="is missing"):
        source[0]


def test_an_image_of_another_size_than_its_calibration_is_refused(raw_drive: Path) -> None:
    rec.write_image(raw_drive / "image_02/data/0000000000.png", size=(80, 40))
    with pytest.raises(InputError, match="80x40"):
        open_source(raw_drive)[0]


def test_unrectified_drives_are_refused(tmp_path: Path) -> None:
    drive = rec.write_kitti_raw(tmp_path / "2011_09_26", "drive_0001_extract")
    with pytest.raises(InputError, match="_sync"):
        open_source(drive)
